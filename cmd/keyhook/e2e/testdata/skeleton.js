// The elements of the page with their attributes' names and their classes: what
// another text must not change. Marks of a chart depend on when it is drawn.
(() => {
	const marks = new Set(["rect", "path", "line", "g", "title", "circle", "text", "polyline"]);
	const known = new Set(["class", "x", "y", "width", "height", "d", "rx", "ry", "cx", "cy", "r", "x1", "x2", "y1", "y2", "points", "transform", "text-anchor"]);
	const lines = [];
	for (const e of document.querySelectorAll("*")) {
		const names = e.getAttributeNames().filter(name => name !== "aria-current").sort(); // which row is open, and which workspace
		if (e.closest("svg") && marks.has(e.localName) && names.every(name => known.has(name))) continue;
		if (e.localName === "option") continue; // people and keys to choose from are as many as there are
		lines.push(e.localName + "[" + names.join(" ") + "]." + [...e.classList].sort().join(" "));
	}
	return lines.join("\n");
})()
