// Looks with axe at the colours in which the page's texts are painted. Of texts that
// are painted alike, each on and among the same, axe is asked about one, and about
// none that is painted in a way known to be fine. Takes the names of those ways;
// evaluates to what is wrong and the names of the ways that axe finds fine now. A
// way that axe leaves out is never known, nor one that it is unsure of, unless that is
// for what is painted: it has no opinion on gradients.
//
// A theme is nothing but colours, so what else there is to know of the page is kept for
// the other theme, as long as the page and its width are the same.
async (known) => {
  known = new Set(known);
  let view = window.coloursView;
  if (view?.width !== innerWidth || view.changes.takeRecords().length || view.changed || view.typed !== typed() || drawn(view.positioned).join() !== view.loose.join()) {
    view?.changes.disconnect();
    view = window.coloursView = survey();
  }
  const ids = new Map(), parts = [""]; // of what is painted below, by what it is made of and by its number
  const painted = new Map(), names = new Map();
  const kinds = new Map(); // the first text that is painted so, by numbers and colours
  for (const text of view.texts) {
    if (text.over.some((e) => covers(e, text.e))) continue;
    const kind = [paint(text.e), ...text.ink.map(ink), "over", ...text.over.map(paint)].join();
    if (!kinds.has(kind)) kinds.set(kind, text);
  }
  const ways = new Map(); // the first text that is painted so, by the way's name
  for (const text of kinds.values()) {
    const name = hash([nameOf(paint(text.e)), ...text.ink.map(ink), ...text.over.map((e) => nameOf(paint(e)))].join());
    if (!known.has(name) && !ways.has(name)) ways.set(name, text.e);
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

  // survey notes what does not depend on the theme.
  function survey() {
    const view = { width: innerWidth, typed: typed(), boxes: new Map(), changed: false };
    view.changes = new MutationObserver(() => { view.changed = true; });
    view.changes.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    const all = [...document.querySelectorAll("body, body *")], drawing = drawers();
    for (const e of [document.documentElement, ...all]) {
      const s = getComputedStyle(e), fixed = [s.backgroundClip, s.opacity, s.filter, s.mixBlendMode, s.clipPath].join();
      const pseudos = drawing.has(e) ? ["::before", "::after"].map((pseudo) => getComputedStyle(e, pseudo)).filter((p) => p.content !== "none").map((p) => ({ p, position: p.position })) : [];
      view.boxes.set(e, { s, fixed, pseudos });
    }
    view.positioned = all.filter((e) => view.boxes.get(e).s.position !== "static" && e.checkVisibility());
    view.loose = drawn(view.positioned);
    const loose = view.positioned.filter((_, i) => view.loose[i]).map((e) => ({ e, box: e.getBoundingClientRect() }));
    const unseen = new Map([[document.body, false]]);
    view.texts = [...texts()].filter((e) => isSeen(e, unseen)).map((e) => ({ e, ink: line(e), over: over(e, loose) }));
    return view;
  }
  // typed is what a form's fields hold, which is no change of the page's elements.
  function typed() {
    return [...document.querySelectorAll("input, select, textarea, option")].map((e) => [e.value, e.checked, e.selected]).join();
  }
  // drawn tells of each of some elements whether it paints something behind what is in it.
  function drawn(elements) {
    return elements.map((e) => {
      const { s } = view?.boxes?.get(e) ?? { s: getComputedStyle(e) };
      return s.backgroundColor !== "rgba(0, 0, 0, 0)" || s.backgroundImage !== "none";
    });
  }
  // drawers are the elements that may have something drawn before or after them: those
  // that a rule says so of, or all of them where that can't be told.
  function drawers() {
    const selectors = ["q"];
    const read = (rules, nested) => {
      for (const rule of rules) {
        if (/::?(before|after)/.test(rule.selectorText ?? "") && rule.style.content) { // without content nothing is drawn
          if (nested) throw new Error("relative to the rule around it");
          selectors.push(rule.selectorText.replace(/(^|[\s>+~,(])::?(before|after)\b/g, "$1*").replace(/::?(before|after)\b/g, ""));
        }
        if (rule.cssRules) read(rule.cssRules, nested || rule instanceof CSSStyleRule);
      }
    };
    try {
      for (const sheet of [...document.styleSheets, ...document.adoptedStyleSheets]) read(sheet.cssRules, false);
      return new Set(document.querySelectorAll(selectors.join()));
    } catch {
      return { has: () => true };
    }
  }
  // texts lists the elements that have text of their own, and fields.
  function texts() {
    const found = new Set(document.querySelectorAll("input, select, textarea"));
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      if (!/\S/.test(walker.currentNode.data)) continue;
      const e = walker.currentNode.parentElement;
      found.add(e);
      if (e.closest("a")) found.add(e.closest("a")); // whose text may be in something in it
    }
    return found;
  }
  // isSeen tells whether the text of an element is shown and axe looks at it.
  function isSeen(e, unseen) {
    if (e.matches("input[type=radio], input[type=checkbox], :disabled, [aria-disabled=true], :disabled *, [aria-disabled=true] *")) return false;
    const front = [...document.querySelectorAll("dialog:modal")].at(-1); // what is not in it is inert
    if (front && !front.contains(e)) return false;
    if (!e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    const box = e.getBoundingClientRect();
    return box.right > 0 && box.bottom + scrollY > 0 && !isUnseen(e, unseen);
  }
  // isUnseen tells of what is for screen readers alone.
  function isUnseen(e, unseen) {
    if (!unseen.has(e)) unseen.set(e, e.offsetWidth <= 1 && e.offsetHeight <= 1 && getComputedStyle(e).overflow !== "visible" || isUnseen(e.parentElement, unseen));
    return unseen.get(e);
  }
  // over lists the loose elements, which may lie on or under texts that are not in them,
  // where a text is.
  function over(text, loose) {
    const box = text.getBoundingClientRect();
    return loose.filter(({ e, box: b }) => b.left < box.right && box.left < b.right && b.top < box.bottom && box.top < b.bottom && !e.contains(text) && !text.contains(e)).map(({ e }) => e);
  }
  // covers tells whether nothing is seen of a text for an element on it, like one behind a dialog.
  function covers(e, text) {
    const a = e.getBoundingClientRect(), b = text.getBoundingClientRect(), { s } = view.boxes.get(e);
    return a.left <= b.left && b.right <= a.right && a.top <= b.top && b.bottom <= a.bottom && s.backgroundColor.startsWith("rgb(") && s.opacity === "1" &&
      getComputedStyle(text).pointerEvents !== "none" && e.contains(document.elementFromPoint((b.left + b.right) / 2, (b.top + b.bottom) / 2));
  }
  // line lists an element and, of a link in a line of text, what it is to be told from.
  function line(e) {
    const link = e.matches("a") && isInline(e), parts = [];
    for (let of = e; of; of = link && isInline(of) ? of.parentElement : null) parts.push({ e: of, link, fixed: shape(of, link) });
    return parts;
  }
  function isInline(e) {
    return getComputedStyle(e).display.startsWith("inline");
  }
  // shape is what there is to know of an element's text but its colours: whether it is
  // large (from 18 pt on, or 14 bold ones), and of a link what else sets it apart.
  function shape(e, link) {
    const s = getComputedStyle(e), points = parseFloat(s.fontSize) * 0.75, bold = parseFloat(s.fontWeight) >= 700;
    const short = e.matches("input, select, textarea") ? [e.localName, e.type, !!e.value] : e.textContent.trim().length > 1;
    return [bold, points >= 14, points >= 18, s.textShadow !== "none" && s.fontSize, short, ...(link ? apart(e, s) : [])].join();
  }
  // apart is what may set a link apart from its line, and whether it has one.
  function apart(e, s) {
    let block = e;
    while (block.parentElement && isInline(block)) block = block.parentElement;
    const borders = ["Top", "Bottom"].flatMap((side) => [s[`border${side}Width`], s[`border${side}Style`]]);
    return [e.matches("a"), block.textContent.trim().length > e.textContent.trim().length, s.fontSize, s.fontWeight, s.fontFamily, s.fontStyle, s.display,
      s.textDecorationLine, s.textDecorationStyle, s.outlineWidth, s.outlineStyle, ...borders];
  }
  function ink({ e, link, fixed }) {
    const { s } = view.boxes.get(e);
    return [fixed, s.color, s.textShadow, ...(link ? [s.borderTopColor, s.borderBottomColor, s.outlineColor, s.textDecorationColor] : [])].join();
  }
  // paint numbers what an element and all around it paint below a text.
  function paint(e) {
    if (!e) return 0;
    if (!painted.has(e)) {
      const { s, fixed, pseudos } = view.boxes.get(e);
      const own = [s.backgroundColor, s.backgroundImage, fixed, ...pseudos.flatMap(({ p, position }) => [p.backgroundColor, p.backgroundImage, position])].join();
      const around = paint(e.parentElement);
      painted.set(e, own === "rgba(0, 0, 0, 0),none,border-box,1,none,normal,none" ? around : number(around, own));
    }
    return painted.get(e);
  }
  function number(around, own) {
    const part = around + " " + own;
    if (!ids.has(part)) {
      ids.set(part, parts.length);
      parts.push({ around, own });
    }
    return ids.get(part);
  }
  // nameOf gives a number the name that it has on every page.
  function nameOf(id) {
    if (id && !names.has(id)) names.set(id, hash([nameOf(parts[id].around), parts[id].own].join()));
    return names.get(id) ?? "";
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
