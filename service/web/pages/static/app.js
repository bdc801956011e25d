// Keeps a live page live: fetches itself and swaps <main>, until the server says that nothing runs any more.
const main = document.querySelector("main[data-live]");
if (main) {
  const again = async () => {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const current = document.querySelector("main");
      if (fresh && fresh.innerHTML !== current.innerHTML) current.replaceWith(fresh);
      if (fresh && !fresh.hasAttribute("data-live")) return;
    } catch { /* the server is away: try again */ }
    setTimeout(again, 1500);
  };
  setTimeout(again, 1500);
}
