// Brings the page up to date in place every two seconds, from the same address as the page itself.
// Elements are changed, not replaced, so what the reader has opened, focused, selected and scrolled
// to stays. Elements with an id are found wherever they have moved.
"use strict";

const EVERY = 2000, PATIENCE = 10000;

async function refresh() {
  try {
    const answer = await fetch(location.pathname, {
      cache: "no-store", signal: AbortSignal.timeout(PATIENCE),
    });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // A proxy's login or error page is not an answer of the daemon.
    if (!answer.ok || !fresh.querySelector("main #daemon")) throw new Error(answer.statusText);
    keepingPlace(() => {
      document.title = fresh.title;
      update(document.querySelector("main"), fresh.querySelector("main"));
    });
    showSilence(false);
  } catch {
    showSilence(true);
  }
  setTimeout(refresh, EVERY);
}

function update(old, fresh) {
  for (const {name} of [...old.attributes]) {
    // The reader decides whether a row is open.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const {name, value} of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const order = new Map([...fresh.childNodes].map((each, at) => [each.id, at]));
  const known = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  for (const [id, each] of known) {
    if (!order.has(id)) each.remove();
  }
  let place = old.firstChild;
  for (const [at, wanted] of [...fresh.childNodes].entries()) {
    let found = wanted.id ? known.get(wanted.id) : place;
    // A row that falls far behind, as after a renewal, is moved to the end, so the others stay.
    while (wanted.id && found && place !== found && order.get(place.id) > at + 1) {
      const next = place.nextSibling;
      old.append(place);
      place = next;
    }
    if (!found || found.nodeName !== wanted.nodeName || (found.id ?? "") !== (wanted.id ?? "")) {
      found = document.importNode(wanted, true);
    } else if (found.nodeType === Node.TEXT_NODE) {
      if (found.data !== wanted.data) found.data = wanted.data;
    } else {
      update(found, wanted);
    }
    if (found === place) place = place.nextSibling;
    else old.insertBefore(found, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function keepingPlace(change) {
  const focused = document.activeElement, row = focused?.closest("li[id]")?.id;
  const {anchorNode, anchorOffset, focusNode, focusOffset} = getSelection();
  change();
  // A moved element loses focus and selection.
  if (focused !== document.activeElement) {
    const moved = row && document.getElementById(row);
    const next = focused.isConnected ? focused : moved?.querySelector("summary") ?? moved;
    next?.focus({preventScroll: true});
  }
  if (anchorNode?.isConnected && focusNode?.isConnected && getSelection().anchorNode !== anchorNode) {
    getSelection().setBaseAndExtent(anchorNode, anchorOffset, focusNode, focusOffset);
  }
}

function showSilence(silent) {
  const banner = document.getElementById("silence");
  if (banner.hidden === !silent) return;
  banner.textContent = silent
    ? `No answer from the daemon since ${document.querySelector(".as-of time").textContent}: `
      + "this page is out of date."
    : "";
  banner.hidden = !silent;
}

setTimeout(refresh, EVERY);
