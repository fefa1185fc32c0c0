// Keyhook console behaviours. No inline handlers, no eval, no HTML made here.
// Everything is an enhancement: each feature has a working path without it.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => {
    const live = $("#live");
    if (!live) return;
    live.textContent = "";
    requestAnimationFrame(() => { live.textContent = text; });
  };

  // Copy. A secure context has the clipboard; plain http falls back to selecting.
  // What is said aloud is the label, never the copied text.
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    if (!source) return;
    const text = "value" in source ? source.value : source.textContent;
    let done = false;
    try { await navigator.clipboard.writeText(text); done = true; } catch {
      if (source.select) source.select(); else getSelection().selectAllChildren(source);
      try { done = document.execCommand("copy"); } catch { done = false; }
      if (done) button.focus();
    }
    const what = button.dataset.what || "Text";
    if (!done) { say(what + " is selected, press Control C to copy"); return; }
    const label = $("[data-label]", button);
    if (label && !button.classList.contains("is-copied")) {
      const before = label.textContent;
      label.textContent = "Copied";
      setTimeout(() => { label.textContent = before; }, 2000);
    }
    button.classList.add("is-copied");
    setTimeout(() => button.classList.remove("is-copied"), 2000);
    say(what + " copied");
  }

  // A key that is pasted into the search becomes its hint before it is sent: the
  // search stands in the address. internal/keyring/hint.go has the same rule.
  const credential = /kh[kt]_[0-9A-Za-z]{38}|kh[kt]_[0-9A-Za-z]{24,}|\bwk_[0-9A-Za-z_-]{24,}|whsec_[0-9A-Za-z+/=_%-]{24,}/;
  function hideCredential(input) {
    const found = credential.exec(input.value)?.[0];
    if (!found) return;
    const body = found.indexOf("_") + 1;
    input.value = found.startsWith("whsec_") ? "whsec_…" : found.slice(0, body + 4) + "…" + found.slice(-4);
    say("The credential is shortened to its hint");
  }

  // A typed confirmation. Without script the button is live; the server checks the text either way.
  // White space is folded and what can't be seen is dropped, as there: old names may hold both.
  const plain = (text) => text.replace(/(?![\t-\r])[\p{Cc}\p{Cf}\p{DI}]/gu, "").replace(/\s+/g, " ").trim().normalize("NFC");
  const typed = (input) => plain(input.value) === plain(input.dataset.confirm);
  const checkTyped = (input) => document.getElementById(input.dataset.for)?.setAttribute("aria-disabled", String(!typed(input)));

  // htmx fires htmx:after:swap on the element that sent the request: it opened the
  // dialog. The focus is in the dialog by then, or on its way. It goes back to the
  // opener first: closing a dialog returns the focus to where it was before.
  function openDialogs(opener) {
    for (const dialog of $$("dialog[data-modal]")) {
      if (dialog.matches(":modal")) continue;
      dialog.removeAttribute("open");
      opener.focus({ preventScroll: true });
      dialog.showModal();
      for (const input of $$("[data-confirm]", dialog)) checkTyped(input);
      ($("[autofocus]", dialog) || $("h2[tabindex]", dialog))?.focus();
      dialog.addEventListener("close", () => dialog.remove(), { once: true });
    }
  }

  // The drawer of one delivery. The row that it is about is marked, and gets the
  // focus back once it is closed; where the row is not on the page, the link leads on.
  function markRow(id) {
    for (const row of $$(".deliveries tr[aria-current]")) row.removeAttribute("aria-current");
    const row = id && document.getElementById(id);
    if (row) row.setAttribute("aria-current", "true");
    return row;
  }
  function openDrawer() {
    markRow($("[data-close-drawer]")?.dataset.closeDrawer);
    $("#drawer-h")?.focus({ preventScroll: innerWidth > 1024 });
    if (innerWidth <= 1024) scrollTo(0, 0);
  }
  function closeDrawer(link) {
    const row = document.getElementById(link.dataset.closeDrawer);
    if (!row) return false;
    const url = new URL(link.href);
    url.hash = "";
    history.pushState({ htmx: true }, "", url); // so that Back and Forward ask for it
    link.closest("#drawer-slot").replaceChildren();
    markRow();
    $(".c-time a", row)?.focus();
    return true;
  }

  // The theme changes in place: going anywhere would lose what a page shows once.
  async function chooseTheme(form, button) {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams({ theme: button.value }), redirect: "manual" }).catch(() => null);
    if (answer?.type !== "opaqueredirect") { say("The theme could not be changed"); return; }
    const root = document.documentElement;
    if (button.value) root.dataset.theme = button.value; else delete root.dataset.theme;
    for (const other of $$("[name=theme]", form)) other.setAttribute("aria-pressed", String(other === button));
  }

  // What is printed says when: the page may have been open for hours.
  addEventListener("beforeprint", () => {
    for (const node of $$("[data-printed]")) node.textContent = ", printed " + new Date().toISOString().slice(0, 19).replace("T", " ") + " UTC";
  });

  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
  function refreshTimes() {
    for (const time of $$("time[data-ago]")) {
      const seconds = Math.min(0, (Date.parse(time.dateTime) - Date.now()) / 1000), age = -seconds;
      const [number, unit] = age < 60 ? [seconds, "second"] : age < 3600 ? [seconds / 60, "minute"] : age < 86400 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
      const text = relative.format(Math.trunc(number) || -0, unit).replace(/\./g, "").replace(/\bsec\b/, "s").replace(/\bhr\b/, "h");
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Secrets leave the page when it is left, so that no back-forward cache holds them.
  const gate = () => $("[data-gate]");
  function wipe() {
    const secrets = $$("[data-secret]");
    for (const node of secrets) {
      if ("value" in node) { node.value = ""; node.defaultValue = ""; }
      node.remove();
    }
    if (secrets.length) document.documentElement.dataset.wiped = "1";
  }
  addEventListener("pagehide", wipe);
  addEventListener("pageshow", (event) => {
    const after = $("[data-after-wipe]");
    if (after && (event.persisted || document.documentElement.dataset.wiped)) location.replace(after.dataset.afterWipe);
  });
  let leaving = false;
  addEventListener("beforeunload", (event) => {
    const box = gate();
    if (box && !box.checked && !leaving) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const copier = event.target.closest("[data-copy]");
    if (copier) { copy(copier); return; }
    if (event.target.closest("[data-print]")) { print(); return; }
    const closer = event.target.closest("[data-close]");
    if (closer && closer.closest("dialog:modal")) { event.preventDefault(); closer.closest("dialog").close(); return; }
    const drawer = event.target.closest("[data-close-drawer]");
    if (drawer && !event.ctrlKey && !event.metaKey && !event.shiftKey && closeDrawer(drawer)) { event.preventDefault(); return; }
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = $("details.menu[open]");
      if (menu) { menu.open = false; $("summary", menu).focus(); }
      else if (!$("dialog:modal")) $("[data-close-drawer]")?.click();
      return;
    }
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.activeElement.matches("input, textarea, select") || document.documentElement.dataset.shortcuts === "off" || $("dialog:modal")) return;
    const search = $("[data-search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });
  document.addEventListener("input", (event) => {
    const input = event.target.closest("[data-confirm]");
    if (input) checkTyped(input);
    if (event.target.matches("[data-search]")) hideCredential(event.target);
  });
  document.addEventListener("change", (event) => {
    const select = event.target.closest("select[data-submits]");
    if (select && !window.htmx) select.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const input = $("input[data-confirm]", event.target);
    if (input && input.closest("dialog:modal") && !typed(input)) {
      event.preventDefault();
      input.focus();
      say("Type the key's name to continue");
      return;
    }
    if (event.target.matches("[data-theme-form]") && event.submitter) {
      event.preventDefault();
      chooseTheme(event.target, event.submitter);
      return;
    }
    if ($("[data-gate]", event.target)) leaving = true;
    // A second click sends nothing; the server would answer it all the same.
    if (event.target.dataset.once !== undefined) {
      if (event.target.dataset.sent) { event.preventDefault(); return; }
      event.target.dataset.sent = "1";
    }
  });
  addEventListener("pageshow", () => { for (const form of $$("form[data-sent]")) delete form.dataset.sent; });

  document.addEventListener("htmx:after:swap", (event) => {
    if (event.target.matches("[hx-target='#dialog-slot']")) openDialogs(event.target);
    if (event.target.matches("[hx-target='#drawer-slot']") || event.target.id === "drawer-slot") openDrawer();
    refreshTimes();
  });
  // autofocus works without script too, but not on every page's element.
  const start = $("[data-focus]");
  if (start && !start.hasAttribute("autofocus")) start.focus();
  // Back from a delivery: its row has the focus.
  if (location.hash.startsWith("#delivery-")) $(".c-time a", document.getElementById(location.hash.slice(1)) || undefined)?.focus();
  refreshTimes();
  setInterval(refreshTimes, 30000);
})();
