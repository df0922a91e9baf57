"use strict";
// Follows the looks. The page is whole without this; with it, what is new replaces what stood there, and what the reader
// had opened, focused or scrolled to stays as it was.
(() => {
  const live = document.getElementById("live");
  const pulse = document.getElementById("pulse");
  let last = 0, busy = false, again = false;

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch("fragment");
      if (answer.ok) show(await answer.text(), answer.headers.get("mesh-fingerprint"));
    } catch { /* The next look tries again. */ }
    busy = false;
    if (again) { again = false; refresh(); }
  }

  function show(markup, fingerprint) {
    const open = [...live.querySelectorAll("details[open][id]")].map((details) => details.id);
    const focused = document.activeElement && document.activeElement.id;
    const scrolled = [...live.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    // The server escapes whatever is not its own.
    live.innerHTML = markup;
    live.dataset.fingerprint = fingerprint;
    for (const id of open) { const details = document.getElementById(id); if (details) details.open = true; }
    live.querySelectorAll(".scroll").forEach((box, index) => {
      if (scrolled[index]) [box.scrollLeft, box.scrollTop] = scrolled[index];
    });
    if (focused) { const element = document.getElementById(focused); if (element) element.focus({ preventScroll: true }); }
  }

  function tell() {
    if (!last) return;
    const seconds = Math.round((Date.now() - last) / 1000);
    const stale = seconds > 30;
    pulse.classList.toggle("stale", stale);
    pulse.textContent = stale
      ? `Nothing was heard for ${seconds} s: what stands here may be old.`
      : `Last look ${seconds < 2 ? "just now" : seconds + " s ago"}.`;
  }

  const events = new EventSource("events");
  events.addEventListener("look", (event) => {
    const look = JSON.parse(event.data);
    last = Date.now();
    document.title = `${look.open ? "(" + look.open + ") " : ""}${look.verdict.toUpperCase()}: mesh`;
    if (live.dataset.fingerprint !== look.fingerprint) refresh();
    tell();
  });
  setInterval(tell, 5000);
})();
