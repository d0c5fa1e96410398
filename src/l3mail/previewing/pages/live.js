// Puts what is new in place of what is old, and nothing else: no flicker, no jump. Without this
// file the page is the same, reloaded by hand.
"use strict";

const state = document.getElementById("state");
const news = new EventSource("/changes?since=" + document.body.dataset.revision);
let busy = false;
let again = false;

news.onopen = () => say("live");
news.onerror = () => say("ended");
news.onmessage = refresh;

function say(word) {
  state.textContent = { live: "Follows as you save", ended: "The preview has ended" }[word];
  state.dataset.state = word;
}

async function refresh() {
  again = busy;
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    await put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    say("ended");
  }
  busy = false;
  if (again) refresh();
}

async function put(fresh) {
  if (shape(fresh) !== shape(document)) return location.reload();
  document.title = fresh.title;
  const age = document.getElementById("age");
  if (age) age.className = fresh.getElementById("age").className;
  document.body.dataset.revision = fresh.body.dataset.revision;
  const swaps = [];
  for (const next of fresh.querySelectorAll("[data-live], iframe")) {
    const old = document.getElementById(next.id);
    if (next.localName === "iframe") {
      old.title = next.title;
      if (old.getAttribute("src") !== next.getAttribute("src")) swaps.push(swap(old, next));
    } else {
      if (old.className !== next.className) old.className = next.className;
      if (old.innerHTML !== next.innerHTML) old.replaceChildren(...next.childNodes);
    }
  }
  await Promise.all(swaps);
  document.body.dataset.shown = document.body.dataset.revision;
}

// What stands where; where that changes, the page is loaded anew.
function shape(page) {
  return [...page.querySelectorAll("[data-live], iframe")].map((one) => one.id).join(" ");
}

// The new picture is made behind the old one, and takes its place once it is there.
function swap(old, next) {
  return new Promise((done) => {
    const fresh = old.cloneNode();
    fresh.src = next.getAttribute("src");
    fresh.loading = "eager";
    fresh.classList.add("coming");
    fresh.addEventListener("load", () => {
      const seen = old.contentWindow;
      fresh.contentWindow.scrollTo(seen.scrollX, seen.scrollY);
      old.remove();
      fresh.classList.remove("coming");
      follow(fresh);
      done();
    }, { once: true });
    old.after(fresh);
  });
}

// Who reads on by day reads on by night: of two frames of a size, one follows the other.
const twins = { "phone-light": "phone-dark", "phone-dark": "phone-light",
                "screen-light": "screen-dark", "screen-dark": "screen-light" };

function follow(frame) {
  const twin = twins[frame.id];
  if (!twin) return;
  frame.contentWindow.addEventListener("scroll", () => {
    const other = document.getElementById(twin).contentWindow;
    if (other.scrollY !== frame.contentWindow.scrollY) other.scrollTo(0, frame.contentWindow.scrollY);
  });
}

addEventListener("load", () => document.querySelectorAll("iframe").forEach(follow));
