// Lists what is wrong with the page's layout: a page that scrolls sideways, text
// that leaves its box, text that lies on other text. Evaluates to an array of sentences.
(() => {
  const problems = [];
  const root = document.scrollingElement;
  if (root.scrollWidth > innerWidth + 1) {
    problems.push(`the page is ${root.scrollWidth} px wide in a window of ${innerWidth}`);
  }
  const boxes = "td, th, [role=cell], [role=columnheader], button, .btn, .card, .note, .stat, .field, dialog, main, header, nav, li, summary";
  const rects = [];
  const styles = new Map(), frames = new Map(), layers = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    if (!text) continue;
    const element = node.parentElement;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("svg, script, style, noscript, option, textarea")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const full of range.getClientRects()) {
      const rect = clip(full, element);
      if (!rect) continue;
      const say = `"${text.slice(0, 40)}"`;
      const box = element.closest(boxes);
      if (box && !scrolls(element, box)) {
        const outer = box.getBoundingClientRect();
        if (outer.width > 1 && (rect.left < outer.left - 1.5 || rect.right > outer.right + 1.5)) {
          problems.push(`${say} leaves its ${box.tagName.toLowerCase()}.${box.className} by ${Math.round(Math.max(outer.left - rect.left, rect.right - outer.right))} px`);
        }
      }
      rects.push({ rect, element, say, layer: layer(element) });
    }
  }
  rects.sort((a, b) => a.rect.top - b.rect.top);
  for (let i = 0; i < rects.length; i++) {
    for (let j = i + 1; j < rects.length && rects[j].rect.top < rects[i].rect.bottom; j++) {
      const a = rects[i], b = rects[j];
      if (a.element === b.element || a.layer !== b.layer) continue;
      const wide = Math.min(a.rect.right, b.rect.right) - Math.max(a.rect.left, b.rect.left);
      const high = Math.min(a.rect.bottom, b.rect.bottom) - Math.max(a.rect.top, b.rect.top);
      const line = Math.min(a.rect.bottom - a.rect.top, b.rect.bottom - b.rect.top);
      if (wide > 2 && high > line * 0.4) problems.push(`${a.say} and ${b.say} overlap by ${Math.round(wide)} x ${Math.round(high)} px`);
    }
  }
  return [...new Set(problems)].slice(0, 12);

  function style(e) {
    if (!styles.has(e)) styles.set(e, getComputedStyle(e));
    return styles.get(e);
  }
  // clip cuts rect to what its clipping ancestors let through; null if nothing is seen.
  function clip(rect, element) {
    const f = frame(element);
    const left = Math.max(rect.left, f.left), right = Math.min(rect.right, f.right);
    const top = Math.max(rect.top, f.top), bottom = Math.min(rect.bottom, f.bottom);
    return right - left > 1.5 && bottom - top > 1.5 ? { left, right, top, bottom } : null;
  }
  // frame is what an element and those around it let through.
  function frame(e) {
    if (!e || e === document.body) return { left: -Infinity, right: Infinity, top: -Infinity, bottom: Infinity };
    if (!frames.has(e)) {
      let f = frame(e.parentElement);
      const s = style(e);
      if (s.overflowX !== "visible" || s.overflowY !== "visible" || s.clipPath !== "none") {
        const r = e.getBoundingClientRect();
        f = { left: Math.max(f.left, r.left), right: Math.min(f.right, r.right), top: Math.max(f.top, r.top), bottom: Math.min(f.bottom, r.bottom) };
      }
      frames.set(e, f);
    }
    return frames.get(e);
  }
  function scrolls(element, box) {
    for (let e = element; e && e !== box.parentElement; e = e.parentElement) {
      if (/auto|scroll/.test(style(e).overflowX)) return true;
    }
    return false;
  }
  // layer tells apart what is pinned above the page from the page.
  function layer(e) {
    if (!e) return null;
    if (!layers.has(e)) layers.set(e, /fixed|sticky/.test(style(e).position) || e.matches("dialog, .menu-panel") ? e : layer(e.parentElement));
    return layers.get(e);
  }
})()
