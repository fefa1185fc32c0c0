// Looks with axe at the colours in which the page's texts are painted. Of texts that
// are painted alike, each on and among the same, axe is asked about one, and about
// none that is painted in a way known to be fine. Takes the names of those ways;
// evaluates to what is wrong and the names of the ways that axe finds fine now. A
// way that axe leaves out is never known, nor one that it is unsure of, unless that is
// for what is painted: it has no opinion on gradients.
async (known) => {
  known = new Set(known);
  const names = new Map(); // by element, of what it and all around it paint
  const loose = [...document.querySelectorAll("body *")].filter(isLoose).map((e) => ({ e, box: e.getBoundingClientRect() }));
  const nothing = ["rgba(0, 0, 0, 0)", "none", "border-box", "1", "none", "normal", "none", false, false].join(); // of an element that paints nothing
  const ways = new Map(); // the first text that is painted so, by the way's name
  for (const e of texts()) {
    if (!isSeen(e)) continue;
    const name = hash([way(e), ...[...ink(e)].map(text), ...over(e).map(way)].join());
    if (!known.has(name) && !ways.has(name)) ways.set(name, e);
  }
  if (!ways.size) return { problems: [], fine: [] };
  const found = await axe.run({ include: [...ways.values()] }, {
    runOnly: ["color-contrast", "link-in-text-block"], resultTypes: ["violations", "passes", "incomplete"], preload: false, elementRef: true, selectors: false,
  });
  const elements = (rules) => new Set(rules.flatMap((rule) => rule.nodes.map((node) => node.element)));
  const bad = elements(found.violations), unsure = elements(found.incomplete), fine = elements(found.passes.filter((rule) => rule.id === "color-contrast"));
  for (const node of found.incomplete.flatMap((rule) => rule.nodes)) {
    if (!node.any.every((check) => ["bgGradient", "bgImage"].includes(check.data?.messageKey))) continue;
    unsure.delete(node.element);
    fine.add(node.element);
  }
  return {
    problems: found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`)),
    fine: [...ways].filter(([, e]) => fine.has(e) && !unsure.has(e) && !bad.has(e)).map(([name]) => name),
  };

  // texts lists the elements that have text of their own, and fields.
  function texts() {
    const found = new Set(document.querySelectorAll("input, select, textarea"));
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (/\S/.test(walker.currentNode.data)) found.add(walker.currentNode.parentElement);
    return found;
  }
  // isSeen tells whether the text of an element is shown and axe looks at it.
  function isSeen(e) {
    if (e.matches("input[type=radio], input[type=checkbox], :disabled, [aria-disabled=true], :disabled *, [aria-disabled=true] *")) return false;
    if (!e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    const box = e.getBoundingClientRect();
    if (box.right <= 0 || box.bottom + scrollY <= 0) return false;
    for (let around = e; around !== document.body; around = around.parentElement) { // what is for screen readers alone
      if (around.offsetWidth <= 1 && around.offsetHeight <= 1 && getComputedStyle(around).overflow !== "visible") return false;
    }
    return true;
  }
  // isLoose tells whether an element may lie on or under texts that are not in it.
  function isLoose(e) {
    const style = getComputedStyle(e);
    return style.position !== "static" && (style.backgroundColor !== "rgba(0, 0, 0, 0)" || style.backgroundImage !== "none") && e.checkVisibility();
  }
  // over lists the loose elements where a text is.
  function over(text) {
    const box = text.getBoundingClientRect();
    return loose.filter(({ e, box: b }) => !e.contains(text) && !text.contains(e) && b.left < box.right && box.left < b.right && b.top < box.bottom && box.top < b.bottom).map(({ e }) => e);
  }
  // way names what an element and all around it paint below a text.
  function way(e) {
    if (!e) return "";
    if (!names.has(e)) {
      const s = getComputedStyle(e);
      const drawn = ["::before", "::after"].map((pseudo) => getComputedStyle(e, pseudo)).map((p) => p.content !== "none" && [p.backgroundColor, p.backgroundImage, p.position]);
      const own = [s.backgroundColor, s.backgroundImage, s.backgroundClip, s.opacity, s.filter, s.mixBlendMode, s.clipPath, ...drawn].join();
      const around = way(e.parentElement);
      names.set(e, own === nothing ? around : hash([around, own].join()));
    }
    return names.get(e);
  }
  // ink lists an element and, of one in a line of text, what it is to be told from.
  function* ink(e) {
    yield e;
    while (e.parentElement && getComputedStyle(e).display.startsWith("inline")) yield e = e.parentElement;
  }
  function text(e) {
    const s = getComputedStyle(e);
    const short = e.matches("input, select, textarea") ? [e.localName, e.type, !!e.value] : e.textContent.trim().length > 1;
    return [e.matches("a"), s.color, s.font, s.display, s.textShadow, s.textDecorationLine, s.borderBottom, short].join();
  }
  function hash(text) {
    let a = 0xdeadbeef, b = 0x41c6ce57;
    for (let i = 0; i < text.length; i++) {
      a = Math.imul(a ^ text.charCodeAt(i), 2654435761);
      b = Math.imul(b ^ text.charCodeAt(i), 1597334677);
    }
    a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
    b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
    return (b >>> 0).toString(36) + (a >>> 0).toString(36);
  }
}
