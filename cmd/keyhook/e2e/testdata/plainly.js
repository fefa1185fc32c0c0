// What is shown and acts instead of being seen, and what turns the text beside it.
(() => {
	const problems = [];
	const acts = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/u;
	const turns = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\u{1e800}-\u{1efff}]/u;
	const say = (what, node, text) => problems.push(what + " in " + (node.parentElement ?? node).outerHTML.slice(0, 120) + ": " + JSON.stringify(text.slice(0, 80)));
	// What a form holds is given back as it was typed.
	const typed = "input, textarea";
	for (const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT); walker.nextNode();) {
		const node = walker.currentNode, text = node.data;
		if (node.parentElement.closest(typed + ", script")) continue;
		if (acts.test(text)) say("a character that acts", node, text);
		if (!turns.test(text) || node.parentElement.closest("title, option")) continue;
		let e = node.parentElement, isolated = false;
		while (e && !isolated) {
			const style = getComputedStyle(e);
			const apart = style.unicodeBidi.includes("isolate") || style.unicodeBidi === "plaintext" || !style.display.startsWith("inline") || style.display === "inline-block";
			if (e.textContent.trim() !== text.trim()) break;
			isolated = apart;
			e = e.parentElement;
		}
		if (!isolated) say("a text that turns what is beside it", node, text);
	}
	for (const e of document.querySelectorAll("*")) {
		if (e.matches(typed)) continue;
		for (const a of e.attributes) if (acts.test(a.value)) say("a character that acts in " + a.name, e, a.value);
	}
	if (acts.test(document.title)) problems.push("a character that acts in the title");
	return problems.slice(0, 8);
})()
