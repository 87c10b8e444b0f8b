/* Keys, rows that change while one looks, undo, locks. Pages work without it; nothing here builds code from text. */
(() => {
  "use strict";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const csrf = one("meta[name=csrf]")?.content ?? "";
  const say = (text) => { one("#said").textContent = text; };
  const post = (path, fields = {}) => fetch(path, {
    method: "POST", body: new URLSearchParams({...fields, csrf}), headers: {Accept: "application/json"},
  });
  document.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.headers["X-CSRF-Token"] = csrf;
  });

  // --- what keys press -----------------------------------------------------------------------------------------------
  const typing = (at) => at.closest?.("input:not([type=radio], [type=checkbox], [type=range]), textarea, select");
  const busy = (at) => at.closest?.("a, button, summary, select, input:not([type=radio])");

  function act(element) {
    if (element.matches("[type=radio]")) {
      element.checked = true;
      element.dispatchEvent(new Event("change", {bubbles: true}));
    } else if (element.matches("input, [data-focus-only]")) {
      element.focus();
    } else {
      element.click();
      if (element.matches("summary")) one("input:not([type=hidden]), a", element.parentElement)?.focus();
    }
  }

  function press(name) {
    const found = all(`[data-key="${CSS.escape(name)}"]`).find((element) => element.checkVisibility());
    if (found) act(found);
    return Boolean(found);
  }

  const ROLLING = ["j", "k", "J", "K", "[", "]"]; // what goes on while it is held down; N held down would lock one case after the other
  let chord = "";
  let pressed = 0;
  function key(event) {
    const name = event.key;
    if (name === "Escape") return shut(event);
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return false;
    if (event.repeat && !ROLLING.includes(name)) return false;
    pressed += 1;
    if (document.documentElement.dataset.keys === "off" || one("dialog[open]")) return false;
    const first = chord;
    chord = "";
    if (first === "g") return Boolean(one(`[data-go="${CSS.escape(name.toLowerCase())}"]`)?.click() ?? true);
    if (first === "a" && chosen(Number(name))) return true;
    if (name === "g" || (name === "a" && one("#decide"))) { chord = name; return true; }
    if (name === "?") { one("#keys").showModal(); return true; }
    return (document.body.dataset.page === "case" ? inCase : inQueue)(event) || press(name);
  }
  document.addEventListener("keydown", (event) => { if (key(event)) event.preventDefault(); });

  // --- menus, panels, dialogs ----------------------------------------------------------------------------------------
  function shut(event) {
    const open = event.target.closest?.("details.menu[open]");
    if (open) { open.open = false; one("summary", open).focus(); } else if (typing(event.target)) event.target.blur();
    return Boolean(open);
  }
  document.addEventListener("click", (event) => {
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
    const opens = event.target.closest("[data-open]");
    if (opens) one(`#${opens.dataset.open}`).showModal();
    if (event.target.closest("[data-print]")) print();
    const fault = event.target.closest("[data-line]");
    if (fault) { event.preventDefault(); mark(fault.dataset); }
    const shows = event.target.closest("[data-show]");
    if (!shows) return;
    const panel = one(`#${shows.dataset.show}`);
    panel.hidden = !panel.hidden;
    shows.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) panel.scrollIntoView({block: "nearest"});
  });

  /* Select what a fault speaks of; following the link puts the editor in view. */
  function mark({line, column, width}) {
    const editor = one("#rules-text");
    const start = editor.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0) + Number(column) - 1;
    editor.focus();
    editor.setSelectionRange(start, start + Number(width));
  }

  // --- queue: the current row, the chosen ones -----------------------------------------------------------------------
  const rows = () => all("#rows tr[data-alert]");
  const current = () => one("#rows tr.current");

  function go(row) {
    if (!row) return;
    for (const other of all("#rows tr.current")) other.classList.remove("current");
    row.classList.add("current");
    one("a.open", row).focus({preventScroll: true});
    row.scrollIntoView({block: "nearest"});
  }

  function move(step, choosing) {
    const here = current();
    const list = rows();
    const next = here ? list[list.indexOf(here) + step] : list[0];
    if (choosing && here) tick(here, true);
    if (choosing && next) tick(next, true);
    go(next);
    return true;
  }

  function tick(row, on) {
    const box = one("input[name=alert]", row);
    if (!box.disabled) box.checked = on;
    count();
  }

  function count() {
    const picked = rows().filter((row) => one("input[name=alert]", row).checked);
    const stake = picked.reduce((sum, row) => sum + Number(row.dataset.stake), 0);
    const cards = new Set(picked.map((row) => row.dataset.card)).size;
    one("#bulk").hidden = !picked.length;
    one("#chosen").textContent = `${picked.length} selected · ${money(stake)} at stake · ${cards} card${cards === 1 ? "" : "s"}`;
  }

  function money(minor) {
    const places = Number(one("#rows").dataset.places);
    return (minor / 10 ** places).toLocaleString("en", {minimumFractionDigits: places, maximumFractionDigits: places});
  }

  function inQueue(event) {
    if (!one("#rows")) return false;
    const name = event.key;
    if (name === "j" || name === "J") return move(1, name === "J");
    if (name === "k" || name === "K") return move(-1, name === "K");
    if (name === "x" && current()) { tick(current(), !one("input[name=alert]", current()).checked); return true; }
    if (name === "Enter" && current() && !busy(event.target)) { one("a.open", current()).click(); return true; }
    return false;
  }

  function beginQueue() {
    one("#rows").addEventListener("focusin", (event) => {
      const row = event.target.closest("tr[data-alert]");
      if (row && row !== current()) { current()?.classList.remove("current"); row.classList.add("current"); }
    });
    one("#rows").addEventListener("change", count);
    one("#all").addEventListener("change", (event) => rows().forEach((row) => tick(row, event.target.checked)));
    restore();
    count();
    live(one("#feed"));
  }

  // --- queue: what others change; nothing moves by itself --------------------------------------------------------------
  const SILENCE = 20_000; // counts come every two seconds, whatever happens
  function live(feed) {
    const fresh = new Map();
    const told = (event) => JSON.parse(event.detail.data);
    const rowOf = (id) => one(`#alert-${CSS.escape(String(id))}`);
    feed.addEventListener("added", (event) => {
      const {id, at_stake: stake} = told(event);
      if (rowOf(id)) return; // it came while this page was made
      fresh.set(id, stake);
      const sum = [...fresh.values()].reduce((total, value) => total + value, 0);
      one("#fresh span").textContent = `${fresh.size} new, ${money(sum)} at stake - show`;
      one("#fresh").classList.add("some");
    });
    feed.addEventListener("changed", (event) => { const {id, html} = told(event); change(id, html); });
    feed.addEventListener("gone", (event) => {
      const {id, text} = told(event);
      const row = rowOf(id);
      fresh.delete(id);
      if (!row) return;
      row.classList.add("gone");
      row.title = text ?? "";
      const box = one("input[name=alert]", row);
      box.checked = false;
      box.disabled = true;
      count();
    });
    feed.addEventListener("counts", (event) => {
      const {views, heard_at_age: age} = told(event);
      for (const [name, value] of Object.entries(views ?? {})) {
        const badge = one(`[data-badge="${CSS.escape(name)}"]`);
        if (badge) badge.textContent = String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
      }
      heard(age);
    });
    feed.addEventListener("reset", () => {
      one("#fresh span").textContent = "the list has changed - show";
      one("#fresh").classList.add("some");
    });
    follow(feed);
    one("#fresh").addEventListener("click", () => {
      const address = new URL(location.href);
      for (const name of ["after", "before", "undo"]) address.searchParams.delete(name);
      sessionStorage.setItem("chosen", JSON.stringify({
        rows: rows().filter((row) => one("input[name=alert]", row).checked).map((row) => row.id), here: current()?.id,
      }));
      location.assign(address);
    });
  }

  /* A stream that is refused, breaks or falls silent is asked for anew by htmx; meanwhile the page says so. */
  function follow(feed) {
    let connection = null;
    let last = performance.now();
    const hear = () => { last = performance.now(); };
    const why = {401: "signed out", 429: "not told of changes: too many pages are open"};
    const lose = (status) => { one("#live").textContent = `○ ${why[status] ?? "not connected, trying again"}`; };
    for (const name of ["htmx:error", "htmx:response:error", "htmx:sse:error"]) {
      feed.addEventListener(name, ({detail}) => lose(detail.status ?? detail.ctx?.response?.status));
    }
    feed.addEventListener("htmx:sse:after:connection", (event) => { connection = event.detail.connection; hear(); });
    feed.addEventListener("htmx:sse:before:message", hear);
    document.addEventListener("visibilitychange", hear); // a hidden page is told nothing
    setInterval(() => {
      if (document.hidden || performance.now() - last < SILENCE) return;
      lose();
      hear();
      connection?.reader?.cancel();
    }, SILENCE / 4);
  }

  /* The list was asked anew: what was chosen in the old one, and where one was, stays as far as it is still there. */
  function restore() {
    const kept = JSON.parse(sessionStorage.getItem("chosen") ?? "null");
    sessionStorage.removeItem("chosen");
    if (!kept) return;
    for (const row of rows()) if (kept.rows.includes(row.id)) tick(row, true);
    go(rows().find((row) => row.id === kept.here));
  }

  function heard(age) {
    if (age == null) return;
    one("#live").textContent = age > 30 ? `○ last decision ${Math.round(age)} s ago` : `● live, ${age.toFixed(1)} s`;
  }

  function change(id, html) {
    const row = one(`#alert-${CSS.escape(String(id))}`);
    if (!row) return;
    const parsed = document.createElement("template");
    parsed.innerHTML = html.trim();
    const fresh = parsed.content.firstElementChild;
    const before = [...row.cells];
    // it was rendered once for everybody
    for (const owner of all(`[data-owner="${one("#rows").dataset.reader}"]`, fresh)) owner.textContent = "you";
    one("a.open", fresh).setAttribute("href", one("a.open", row).getAttribute("href")); // it names this queue
    [...fresh.cells].forEach((cell, place) => {
      if (place === 0 || cell.innerHTML === before[place].innerHTML) return;
      before[place].replaceChildren(...cell.childNodes);
      if (place === before.length - 1) return; // its age moves on by itself
      before[place].classList.add("changed");
      setTimeout(() => before[place].classList.remove("changed"), 1500);
    });
    row.classList.toggle("gone", fresh.classList.contains("gone"));
    row.dataset.stake = fresh.dataset.stake;
  }

  // --- case ------------------------------------------------------------------------------------------------------------
  let started = 0;
  let ahead = null;

  function chosen(place) {
    const select = one("#decide select[name=action]");
    if (!(place >= 1 && place < select.options.length)) return false;
    select.selectedIndex = place;
    select.dataset.mine = "1";
    say(select.options[place].text);
    return true;
  }

  function inCase(event) {
    const name = event.key;
    const decide = one("#decide");
    if (name === "Enter" && decide && !busy(event.target)) {
      if (one("[name=verdict]:checked", decide)) decide.requestSubmit(one("[data-key=enter]", decide));
      return true;
    }
    if (name === " " && !busy(event.target) && one("[data-focus]")) { one("[data-focus]").click(); return true; }
    if (name === "[" || name === "]") {
      const slider = one("#slider");
      if (slider) { slider.value = Number(slider.value) + (name === "[" ? -1 : 1); slide(slider); }
      return true;
    }
    return false;
  }

  function slide(slider) {
    const day = Number(slider.value);
    for (const element of all("#graph [data-day]")) {
      const later = Number(element.dataset.day) > day;
      element.classList.toggle("later", later);
      if (element.matches("a")) element.tabIndex = later ? -1 : 0;
      if ("fraud" in element.dataset) element.classList.toggle("unknown", Number(element.dataset.fraud) > day);
    }
    const back = Number(slider.max) - day;
    const shown = one("#slider-day");
    shown.dataset.last ??= shown.textContent;
    shown.textContent = back ? `${back} d earlier` : shown.dataset.last;
    slider.setAttribute("aria-valuetext", shown.textContent);
  }
  document.addEventListener("input", (event) => { if (event.target.id === "slider") slide(event.target); });

  function beginCase(decide) {
    const then = JSON.parse(decide.dataset.then);
    const action = one("select[name=action]", decide);
    started = performance.now();
    pressed = 0;
    action.addEventListener("change", () => { action.dataset.mine = "1"; });
    decide.addEventListener("change", (event) => {
      if (event.target.name !== "verdict") return;
      if (!action.dataset.mine) action.value = then[event.target.value] ?? "";
      look();
    });
    decide.addEventListener("submit", send);
  }

  /* Fetch the case that would come next as soon as a verdict is chosen, so that it is there when it is confirmed. */
  function look() {
    const next = one("#main").dataset.next;
    if (!next || ahead) return;
    ahead = {case: Number(next), text: fetch(caseAddress(next)).then((answer) => answer.ok ? answer.text() : "").catch(() => "")};
  }

  async function send(event) {
    const decide = event.currentTarget;
    decide.elements.seconds.value = Math.round((performance.now() - started) / 1000);
    decide.elements.keys.value = pressed;
    if (event.submitter?.hasAttribute("formaction") || !ahead) return;
    event.preventDefault();
    const answer = await fetch(decide.getAttribute("action"), {
      method: "POST", body: new URLSearchParams(new FormData(decide)), headers: {Accept: "application/json"},
    });
    const told = await answer.json();
    if (!answer.ok) return refuse(decide, told.detail ?? "It was not kept.");
    const text = told.next_case === ahead.case ? await ahead.text : "";
    if (text) show(text, told); else location.assign(told.next_case ? caseAddress(told.next_case, told.undo) : queueAddress(told.undo));
  }

  /* Where one goes on: with the queue that this case was taken from. */
  function caseAddress(number, undo = "") {
    const told = new URLSearchParams(Object.entries({queue: one("#main").dataset.queue, undo}).filter(([, value]) => value));
    return `/cases/${number}${told.size ? `?${told}` : ""}`;
  }

  function queueAddress(undo = "") {
    const told = new URLSearchParams(one("#main").dataset.queue);
    if (undo) told.set("undo", undo);
    return `/queue${told.size ? `?${told}` : ""}`;
  }

  function refuse(decide, text) {
    const fault = one(".fault", decide) ?? decide.insertBefore(document.createElement("p"), decide.firstChild);
    fault.className = "fault";
    fault.setAttribute("role", "alert");
    fault.textContent = text;
  }

  /* Put the next case, which is locked now, in place of this one; the frame's files are loaded already. */
  function show(text, told) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    document.body.replaceWith(fresh.body);
    document.title = fresh.title;
    history.pushState(null, "", caseAddress(told.next_case));
    one("#main").dataset.mine = "1";
    one("#lock").textContent = "locked by you";
    one("#take")?.remove();
    if (told.undo) {
      document.body.append(one("#undo").content.cloneNode(true));
      one("#toast").setAttribute("action", `/undo/${encodeURIComponent(told.undo)}`);
    }
    htmx.process(document.body);
    scrollTo(0, 0);
    begin();
  }
  addEventListener("popstate", () => location.reload());

  document.addEventListener("submit", async (event) => {
    const reveal = event.target;
    if (!one("button.reveal", reveal)) return;
    event.preventDefault();
    const answer = await post(reveal.getAttribute("action"), {field: "card"});
    const told = await answer.json();
    if (answer.ok) one("#card-name").textContent = told.text; else say(told.detail ?? "It was not revealed.");
    reveal.hidden = answer.ok;
  });

  // --- the lock: renewed while the page is open, let go when it is left ------------------------------------------------
  const held = () => one("#main[data-mine='1']")?.dataset.case;
  let staying = false;
  setInterval(async () => {
    const answer = held() && await post(`/cases/${held()}/lock`, {renew: 1}).catch(() => null);
    if (answer && !answer.ok) one("#lock").textContent = (await answer.json()).detail ?? "no longer locked";
  }, 180_000);
  document.addEventListener("submit", (event) => { staying = !event.defaultPrevented && event.target.id !== "toast"; });
  document.addEventListener("click", (event) => {
    staying = Boolean(held() && event.target.closest(`a[href^="/cases/${held()}"]`));
  }, true);
  addEventListener("pagehide", () => {
    if (held() && !staying) navigator.sendBeacon(`/cases/${held()}/release`, new URLSearchParams({csrf}));
  });

  // --- each page, and each that takes another's place -----------------------------------------------------------------
  function begin() {
    ahead = null;
    if (one("#rows")) beginQueue();
    if (one("#decide")) beginCase(one("#decide"));
    const toast = one("#toast");
    if (toast) setTimeout(() => toast.remove(), 10_000); // what was done has left by then
  }
  begin();
})();
