// Lists with axe what breaks the rules of WCAG 2.2 A and AA and the best practice, apart
// from colours. Of a table's rows that are built alike axe looks at three and the last;
// the checks of targets, of the layout and of the colours look at all of them. Where a
// page has the elements, shown and laid out alike, that it had in another width, axe is
// asked only what depends on where they are. Evaluates to an array of sentences.
(async () => {
  const shown = [...document.querySelectorAll("body, body *")].map((e) => (e.checkVisibility({ visibilityProperty: true }) ? getComputedStyle(e).display : ""));
  const page = document.title + document.body.outerHTML + shown.join();
  const again = window.structuresSeen?.has(page);
  (window.structuresSeen ??= new Set()).add(page);
  const placed = ["scrollable-region-focusable", "skip-link", "bypass", "region"], near = areNear();
  const off = { enabled: false };
  const kinds = new Map(), tables = [...document.querySelectorAll("table")];
  const rows = [...document.querySelectorAll("tbody tr:not(:last-child)")].filter((row) => {
    const kind = tables.indexOf(row.closest("table")) + row.outerHTML.replace(/>[^<]*\S[^<]*</g, ">x<").replace(/ (href|id|title|datetime|value|for|name|style|aria-label|data-[a-z-]+|hx-[a-z:-]+)="[^"]*[^"\s][^"]*"/g, " $1");
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    return kinds.get(kind) > 3;
  }).map((row) => [row, document.createComment("row")]);
  rows.forEach(([row, place]) => row.replaceWith(place));
  try {
    const found = await axe.run(document, {
      runOnly: again ? (near ? ["target-size", ...placed] : placed) : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      rules: again ? {} : { "color-contrast": off, "link-in-text-block": off, "target-size": { enabled: near } },
      resultTypes: ["violations"], preload: false,
    });
    return found.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary));
  } finally {
    rows.forEach(([row, place]) => place.replaceWith(row));
  }

  // areNear tells whether there may be targets that are too small or too near to others
  // (WCAG 2.2, 2.5.8): axe's rule for it takes longer than all of its others, and where each
  // target has 24 px both ways, or a circle of those for itself, and nothing lies on it,
  // there is nothing to ask. What is below something pinned can be scrolled from there. Axe
  // takes what the Tab key does not reach for no fault.
  function areNear() {
    const pins = new Map([[null, null]]), shown = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility({ visibilityProperty: true }));
    const rects = shown.filter((e) => e.tabIndex >= 0 && e.matches("a, area, button, input:not([type=hidden]), select, textarea, summary, iframe, [contenteditable], [role][tabindex]:not([role=row], [role=region])"))
      .flatMap((e) => {
        const lines = [...e.getClientRects()], pinned = pin(e, pins);
        if (lines.length > 1) lines.push(e.getBoundingClientRect());
        return lines.map((r) => ({ e, r, pinned, small: lines.length > 1 || r.width < 24 || r.height < 24, x: (r.left + r.right) / 2, y: (r.top + r.bottom) / 2 }));
      }).sort((a, b) => a.r.top - b.r.top);
    const layers = shown.filter((e) => getComputedStyle(e).position !== "static").map((e) => ({ e, r: e.getBoundingClientRect(), pinned: pin(e, pins) })).filter(({ r }) => r.width > 1 && r.height > 1);
    // Of a target below something axe takes what is left of it, a large one's too beside small ones.
    for (const a of rects) a.covered = layers.some((b) => overlap(a.r, b.r) && !isBelow(a, b) && !isBelow(b, a) && !b.e.contains(a.e) && !a.e.contains(b.e));
    return rects.some((a, i) => {
      if (a.small && a.covered) return true;
      for (let j = i + 1; j < rects.length && rects[j].r.top <= Math.max(a.r.bottom, a.y) + 24; j++) {
        const b = rects[j];
        if (a.e === b.e || isBelow(a, b) || isBelow(b, a)) continue;
        if (overlap(a.r, b.r)) return true;
        if (a.small && b.small && Math.hypot(a.x - b.x, a.y - b.y) < 24) return true;
        if (a.small && isWithin(b.covered ? 24 : 12, a, b.r) || b.small && isWithin(a.covered ? 24 : 12, b, a.r)) return true;
      }
      return false;
    });
  }
  // pin is the nearest around an element that is pinned, itself among them.
  function pin(e, pins) {
    if (!pins.has(e)) pins.set(e, /fixed|sticky/.test(getComputedStyle(e).position) ? e : pin(e.parentElement, pins));
    return pins.get(e);
  }
  // isBelow tells whether a, of the page, lies where what b is pinned with is.
  function isBelow(a, b) {
    return !a.pinned && b.pinned && overlap(a.r, b.pinned.getBoundingClientRect());
  }
  function overlap(a, b) {
    return Math.max(...space(a, b)) < 0;
  }
  // space is what lies between two boxes, across and down; negative where they overlap.
  function space(a, b) {
    return [Math.max(b.left - a.right, a.left - b.right), Math.max(b.top - a.bottom, a.top - b.bottom)];
  }
  function isWithin(distance, { x, y }, box) {
    return Math.hypot(...space({ left: x, right: x, top: y, bottom: y }, box).map((n) => Math.max(n, 0))) < distance;
  }
})()
