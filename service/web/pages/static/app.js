// Keeps a live page live: fetches itself and swaps <main>, until the server says that nothing runs any more.
// What the reader opened stays open, and a log that was read to its end stays at its end.
const live = () => document.querySelector("main[data-live]");

function swap(current, fresh) {
  const open = new Map([...current.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const log = current.querySelector("pre.log");
  const follows = log && log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  const at = log ? log.scrollTop : 0;
  current.replaceWith(fresh);
  for (const one of fresh.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
  const now = fresh.querySelector("pre.log");
  if (now) now.scrollTop = follows ? now.scrollHeight : at;
}

async function look() {
  const busy = document.hidden || document.activeElement?.closest("form");
  if (!busy) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = answer.ok && page.querySelector("main");
      if (fresh && fresh.outerHTML !== live()?.outerHTML) swap(document.querySelector("main"), fresh);
    } catch { /* the server is away: try again */ }
  }
  if (live()) setTimeout(look, 1500);
}

if (live()) setTimeout(look, 1500);
