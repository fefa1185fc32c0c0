// The live tail of the deliveries: rows come as server-sent events, go into the page
// by htmx's own swap, and wait while somebody is reading.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  if (!$(".tail-bar") || !window.htmx) return;
  let bar, intake, card, toggle, words, resume;
  const most = 200, live = "#live-tail";
  let source = null, waiting = [], left = 0, unheard = 0, heardAt = -Infinity, ignored = new Set(), taking = Promise.resolve(), trouble = "";

  const rows = () => [...card.querySelectorAll("tbody > tr[id^='delivery-']")];
  const count = (n) => n >= most ? most + " or more" : String(n);
  const dayOf = (row) => row?.dataset.day;

  // What keeps new rows out: whoever reads must not have the lines move.
  function reasons() {
    const why = new Set();
    if (card.getBoundingClientRect().top < 0) why.add("scroll");
    if (matchMedia("(hover: hover)").matches && card.matches(":hover")) why.add("hover");
    if (card.contains(document.activeElement)) why.add("focus");
    if ($("#drawer-slot")?.firstElementChild) why.add("drawer");
    return why;
  }
  function paused() {
    const why = reasons();
    ignored = ignored.intersection ? ignored.intersection(why) : new Set([...ignored].filter((x) => why.has(x)));
    return [...why].some((reason) => !ignored.has(reason));
  }

  async function take(html) {
    await htmx.swap({ text: html, target: "#tail-in", swap: "innerHTML", sourceElement: intake });
    const came = [...intake.children];
    intake.replaceChildren();
    const known = new Set(waiting.map((row) => row.id));
    for (const row of came) {
      if (document.getElementById(row.id) || known.has(row.id)) continue;
      waiting.push(row);
      unheard++;
    }
    waiting.sort((a, b) => (a.id < b.id ? 1 : -1));
    if (waiting.length > most) { left += waiting.length - most; waiting.length = most; }
    tick();
  }

  // A row goes in front of the first one that began earlier: some are recorded late.
  function place(row) {
    const list = $("tbody", card), below = rows().find((other) => other.id < row.id);
    let at = below || null;
    const heading = at?.previousElementSibling;
    if (heading?.classList.contains("day") && dayOf(row) !== dayOf(at)) {
      const day = heading.cloneNode(true);
      day.removeAttribute("id");
      $("th", day).textContent = new Date(dayOf(row) + "T00:00Z").toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
      heading.before(day);
      at = heading;
    }
    list.insertBefore(row, at);
  }
  function flush() {
    if (!waiting.length) return;
    if (!$("tbody", card)) { // there was nothing yet, and so no table
      history.replaceState(history.state, "", location.pathname + location.search + live);
      location.reload();
      return;
    }
    for (const row of waiting.reverse()) place(row);
    waiting = [];
    left = 0;
    for (const row of rows().slice(most)) row.remove();
    for (const day of card.querySelectorAll("tr.day")) if (!day.nextElementSibling || day.nextElementSibling.classList.contains("day")) day.remove();
  }

  function show(held) {
    let text = trouble || "Live";
    if (!trouble && held) text = waiting.length ? "Paused, " + count(waiting.length) + " new." : "Paused.";
    if (left) text += " At least " + left + " more came than can be shown.";
    if (words.textContent !== text) words.textContent = text;
    resume.hidden = !held || !waiting.length;
    if (unheard && performance.now() - heardAt > 10000) {
      const heard = $("#live");
      if (heard) heard.textContent = unheard + (unheard === 1 ? " new delivery" : " new deliveries") + (held ? ", paused" : "");
      heardAt = performance.now();
      unheard = 0;
    }
  }
  function tick() {
    if (!source) return;
    const held = paused();
    if (!held) flush();
    show(held);
  }

  function stop(text) {
    source?.close();
    source = null;
    waiting = [];
    toggle.setAttribute("aria-pressed", "false");
    resume.hidden = true;
    words.textContent = text;
  }
  function start() {
    const newest = rows()[0]?.id.slice("delivery-".length);
    source = new EventSource(bar.dataset.tail + (newest ? (bar.dataset.tail.includes("?") ? "&" : "?") + "after=" + newest : ""));
    source.addEventListener("open", () => { trouble = ""; tick(); });
    source.addEventListener("rows", (event) => { taking = taking.then(() => source && take(event.data)); });
    source.addEventListener("left", (event) => { left += Number(event.data) || 0; tick(); });
    source.addEventListener("end", () => stop("The live tail ended: you are signed out, or may not see this any more."));
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) stop("The live tail ended. Load the page again to go on.");
      else { trouble = "Connecting again."; tick(); }
    });
    toggle.setAttribute("aria-pressed", "true");
    words.textContent = "Connecting.";
  }

  // Back and Forward put another list in the place of this one.
  function bind() {
    bar = $(".tail-bar");
    intake = $("#tail-in");
    card = $("#deliveries");
    toggle = $("[data-tail-toggle]", bar);
    words = $("[data-tail-state]", bar);
    resume = $("[data-tail-resume]", bar);
    toggle.addEventListener("click", (event) => {
      if (!bar.dataset.tail || event.ctrlKey || event.metaKey || event.shiftKey) return; // the link leads to the newest page
      event.preventDefault();
      if (source) stop(""); else start();
    });
    toggle.addEventListener("keydown", (event) => {
      if (event.key === " ") { event.preventDefault(); toggle.click(); }
    });
    resume.addEventListener("click", () => {
      if (card.getBoundingClientRect().top < 0) bar.scrollIntoView();
      toggle.focus({ preventScroll: true }); // the button goes
      ignored = reasons();
      tick();
    });
    // Rows that came later have links that htmx does not obey.
    card.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-drawer]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      htmx.ajax("GET", link.dataset.drawer, { source: $("#drawer-slot"), target: "#drawer-slot", swap: "innerHTML", push: link.getAttribute("href") });
    });
  }
  document.addEventListener("htmx:after:swap", () => {
    if (bar.isConnected || !$(".tail-bar")) return;
    const going = source;
    if (going) stop("");
    bind();
    if (going && bar.dataset.tail) start();
  });
  bind();
  setInterval(tick, 500);
  addEventListener("scroll", tick, { passive: true });
  addEventListener("pagehide", () => source?.close());

  // The address for those without script leads here too: it would read the page anew.
  const query = new URLSearchParams(location.search);
  if (query.get("tail") === "1") {
    query.delete("tail");
    location.replace(location.pathname + (query.size ? "?" + query : "") + live);
  } else if (location.hash === live && bar.dataset.tail) start();
})();
