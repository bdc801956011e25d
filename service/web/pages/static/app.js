// Keeps a live page live without loading it again. A running step's log arrives line by line, as server-sent events, which also
// tell when anything moves: then the page is fetched and <main> swapped. Where nothing is followed, it is fetched now and then.
// What the reader opened stays open, and a log that was read to its end stays at its end.
const SOON = 1500, LATER = 5000, MOST_ROWS = 5000;
const live = () => document.querySelector("main[data-live]");
let stream = null, timer = null, busy = false, again = false, last = live()?.outerHTML;

const isAtEnd = (log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 8;

function swap(current, fresh) {
  const open = new Map([...current.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const log = current.querySelector("pre.log");
  const follows = log && isAtEnd(log), at = log ? log.scrollTop : 0;
  const kept = stream && fresh.querySelector(`pre.log[data-log="${CSS.escape(stream.log.dataset.log)}"]`);
  if (kept) kept.replaceWith(stream.log); // it has more than the page: what was followed so far
  current.replaceWith(fresh);
  for (const one of fresh.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
  const now = fresh.querySelector("pre.log");
  if (now) now.scrollTop = follows ? now.scrollHeight : at;
}

async function look() {
  if (busy) {
    again = true; // something moved while the page was on its way
    return;
  }
  clearTimeout(timer);
  if (!document.hidden && !document.activeElement?.closest("form")) {
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = answer.ok && page.querySelector("main");
      const text = fresh?.outerHTML;
      if (fresh && text !== last) swap(document.querySelector("main"), fresh);
      last = text || last;
    } catch { /* the server is away: try again */ }
    busy = false;
  }
  follow();
  if (live()) timer = setTimeout(look, again ? 0 : stream ? LATER : SOON);
  again = false;
}

function follow() {
  const log = document.querySelector("pre.log[data-follow]");
  if (stream?.log !== log) leave();
  if (!log || stream) return;
  const mine = (stream = new EventSource(log.dataset.follow));
  mine.log = log;
  mine.addEventListener("line", (event) => append(log, JSON.parse(event.data), event.lastEventId.split(".")[0]));
  mine.addEventListener("state", look);
  mine.addEventListener("end", () => { leave(); delete log.dataset.follow; look(); });
  mine.addEventListener("error", () => { if (mine.readyState === EventSource.CLOSED && stream === mine) leave(); });
}

function leave() {
  stream?.close();
  stream = null;
}

function append(log, line, attempt) {
  const follows = isAtEnd(log);
  if (log.dataset.attempt !== attempt) log.replaceChildren(); // a retry counts from one again
  log.dataset.attempt = attempt;
  log.querySelector(".nothing")?.remove();
  const row = document.createElement("span"), when = document.createElement("span");
  row.className = `row ${line.stream}`;
  when.className = "dim";
  when.textContent = `${String(line.number).padStart(4)}  ${new Date(line.at).toISOString().slice(11, 23)}`;
  row.append(when, `  ${line.text}\n`);
  log.append(row);
  while (log.childElementCount > MOST_ROWS) log.firstElementChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
}

follow();
if (live()) timer = setTimeout(look, stream ? LATER : SOON);
