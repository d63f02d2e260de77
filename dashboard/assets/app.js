// The page's own behaviour: theme, the live pill, ages that keep counting, and forms that are not disturbed
// while somebody types. Everything here only improves a page that works without it.
(() => {
  const $ = (selector) => document.querySelector(selector);
  const root = document.documentElement,
    body = document.body;

  // Theme: as the system, light, dark, in turn.
  const button = $("#theme");
  const stored = () => {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto";
    }
  };
  const name = () => {
    button.title = button.dataset[stored()] ?? "";
  };
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[stored()] ?? "auto";
    try {
      next === "auto" ? localStorage.removeItem("theme") : localStorage.setItem("theme", next);
    } catch {
      /* for this page only */
    }
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    name();
    document.dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event("theme")),
  );

  // Ages count on between messages, against the server's clock.
  let skew = Number(body.dataset.now) - Date.now();
  const say = (key, n) => body.dataset[key].replace("#", n);
  const age = (ms) => {
    const s = Math.max(0, Math.floor((Date.now() + skew - ms) / 1000));
    if (s < 90) return say("s", s);
    if (s < 5400) return say("m", Math.floor((s + 30) / 60));
    if (s < 172800) return say("h", Math.floor((s + 1800) / 3600));
    return say("d", Math.floor(s / 86400));
  };
  const duration = (since) => {
    const s = Math.max(0, Math.floor((Date.now() + skew - since) / 1000)),
      m = Math.floor(s / 60),
      h = Math.floor(m / 60);
    if (m < 1) return say("fs", s);
    if (m < 60) return say("fm", m);
    return m < 1440
      ? say("fh", h).replace("@", m % 60)
      : say("fd", Math.floor(m / 1440)).replace("@", h % 24);
  };
  const count = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = age(Number(time.dataset.age));
      if (time.textContent !== text) time.textContent = text;
    }
    for (const time of document.querySelectorAll("time[data-since]")) {
      const text = duration(Number(time.dataset.since));
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(count, 1000);

  // The stream. The server sends a sign of life every three seconds: silence means that it is lost, also
  // where the network says nothing.
  const live = $("#live"),
    pill = $("#pill"),
    words = $("#pilltxt"),
    banner = $("#lost");
  const PATIENCE_MS = 10000;
  let state = "wait",
    heard = Date.now(),
    everLive = false;
  const show = (next) => {
    if (next === state && words.textContent === pill.dataset[next]) return;
    state = next;
    pill.classList.toggle("on", next === "live");
    pill.classList.toggle("lost", next === "lost");
    words.textContent = pill.dataset[next];
    banner.hidden = next !== "lost";
    root.dataset.stream = next;
  };
  const alive = () => {
    heard = Date.now();
    everLive = true;
    show("live");
  };
  show("wait");
  document.addEventListener("htmx:sse:after:connection", alive);
  document.addEventListener("htmx:sse:before:message", alive);
  document.addEventListener("htmx:sse:error", () => show("lost"));
  document.addEventListener("htmx:sse:close", () => show("lost"));
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail?.connection?.attempt > 0 && !document.hidden) show("lost");
  });
  setInterval(() => {
    if (document.hidden) {
      heard = Date.now();
      return;
    }
    if (Date.now() - heard > PATIENCE_MS) show("lost");
    // A first connection that fails is not tried again by itself.
    if (state !== "live" && window.htmx && Date.now() - heard > (everLive ? PATIENCE_MS : 3500))
      htmx.trigger(live, "go");
  }, 2000);
  live.addEventListener("beat", (event) => {
    skew = Number(event.detail.data) - Date.now();
  });

  // The queue is replaced whole, but not under the hands of somebody who is filling in a form.
  const queue = $("#queue");
  let waiting = null;
  const busy = () => queue?.querySelector("details[open]") != null;
  const apply = () => {
    if (waiting === null || busy()) return;
    const focused = document.activeElement?.closest?.(".inc")?.id;
    queue.innerHTML = waiting;
    waiting = null;
    prefill(queue);
    if (focused) document.getElementById(focused)?.querySelector("a")?.focus();
  };
  live.addEventListener("queue", (event) => {
    if (!queue) return;
    const before = queue.querySelectorAll(".inc").length;
    waiting = event.detail.data;
    apply();
    if (queue.querySelectorAll(".inc").length !== before) $("#say").textContent = queue.dataset.said;
  });
  queue?.addEventListener("toggle", apply, true);

  // A page about one case, one facility or the list of facilities is read again when it is out of date, unless
  // somebody is typing: then they are told.
  const main = $("#main");
  const typing = () =>
    [...document.querySelectorAll("form[method=post]")].some(
      (form) =>
        form.contains(document.activeElement) ||
        [...form.querySelectorAll("input:not([type=hidden]),textarea")].some(
          (field) => field.value !== field.defaultValue && !field.dataset.filled,
        ),
    );
  const outdated = () => {
    if (typing() || busy()) $("#newer").hidden = false;
    else location.reload();
  };
  live.addEventListener("case", (event) => {
    const change = JSON.parse(event.detail.data);
    const here = main.dataset.case === String(change.case) && Number(main.dataset.version) < change.version;
    if (here || main.dataset.facility === change.facility) outdated();
    // A list that somebody reads is not pulled away: they are told.
    if (main.dataset.cases) $("#newer").hidden = false;
  });
  live.addEventListener("findings", (event) => {
    const { findings } = main.dataset;
    if (findings !== undefined && Number(event.detail.data) > Number(findings)) $("#newer").hidden = false;
  });
  live.addEventListener("directory", () => {
    if (document.querySelector(".grid,.points")) outdated();
  });

  // The name is asked once and remembered on this machine; of whoever has signed in it is known.
  const { me } = document.body.dataset;
  const prefill = (within) => {
    let by = me ?? "";
    if (me)
      for (const field of within.querySelectorAll("input[name=by]")) {
        field.value = me;
        field.closest("label").hidden = true;
      }
    try {
      by ||= localStorage.getItem("by") ?? "";
    } catch {
      /* not remembered */
    }
    for (const field of within.querySelectorAll("input[name=by]"))
      if (!field.value && by) {
        field.value = by;
        field.dataset.filled = "yes";
      }
  };
  prefill(document);
  document.addEventListener("submit", (event) => {
    const by = event.target.querySelector?.("input[name=by]")?.value?.trim();
    try {
      if (by && !me) localStorage.setItem("by", by);
    } catch {
      /* not remembered */
    }
  });
  document.addEventListener(
    "toggle",
    (event) => {
      if (event.target.matches?.("details.ack[open]"))
        event.target.querySelector("input[name=by]:invalid, input[name=comment], button")?.focus();
    },
    true,
  );
  document.addEventListener("keydown", (event) => {
    const open = document.activeElement?.closest?.("details.ack[open]");
    if (event.key === "Escape" && open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });

  // A file is read here and shown before it is sent.
  for (const pick of document.querySelectorAll("[data-file]")) {
    pick.hidden = false;
    pick.querySelector("input").addEventListener("change", async (event) => {
      const [file] = event.target.files;
      if (file) document.getElementById(pick.dataset.file).value = await file.text();
    });
  }
  for (const copy of document.querySelectorAll("[data-copy]")) {
    copy.hidden = !navigator.clipboard;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
      const text = copy.textContent;
      copy.textContent = copy.dataset.done;
      setTimeout(() => {
        copy.textContent = text;
      }, 2000);
    });
  }
})();
