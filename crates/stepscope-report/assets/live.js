// A live page: it listens for versions, and fetches what it does not show yet.

class Live {
  constructor() {
    this.shown = null;
    this.wanted = null;
    this.busy = false;
    this.place = document.getElementById("live");
    this.listen();
  }

  say(state, text) {
    this.place.className = state;
    this.place.textContent = text;
  }

  /** The browser reconnects by itself unless the server refuses; then it is asked again, ever more rarely. */
  listen(patience = 1000) {
    const source = new EventSource("events");
    source.addEventListener("open", () => {
      patience = 1000;
      this.say("connected", "connected");
    });
    source.addEventListener("version", (event) => {
      this.wanted = event.data;
      this.fetch();
    });
    source.addEventListener("error", () => {
      this.say("waiting", "waiting for stepscope watch");
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(() => this.listen(Math.min(2 * patience, 15000)), patience);
    });
  }

  async fetch() {
    if (this.busy || this.wanted === this.shown) return;
    this.busy = true;
    try {
      const answer = await fetch("update", { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      this.show(await answer.json());
    } catch {
      this.say("waiting", "waiting for stepscope watch");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    this.busy = false;
    this.fetch();
  }

  show({ version, title, parts, data }) {
    for (const part of document.querySelectorAll("[data-part]")) {
      const html = parts[part.dataset.part];
      if (html === undefined || part.source === html) continue;
      const open = [...part.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
      // Everything in it was escaped where it was made.
      part.innerHTML = part.source = html;
      for (const summary of part.querySelectorAll("summary")) if (open.includes(summary.textContent)) summary.parentElement.open = true;
    }
    document.title = document.getElementById("title").textContent = title;
    page.take(data);
    page.fillToolbar();
    page.dressUp();
    page.draw();
    page.report();
    this.shown = version;
    this.say("connected", "up to date");
    document.documentElement.dataset.version = version;
  }
}

new Live();
