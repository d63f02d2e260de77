// A camera's live picture: MP4 fragments over a WebSocket into Media Source Extensions; where the browser cannot
// play the codec, single pictures. What the page needs to know of it stands in the player's data attributes.
(() => {
  const player = document.getElementById("player");
  if (!player) return;
  const still = document.getElementById("still"),
    video = document.getElementById("video"),
    osd = document.getElementById("osd"),
    button = document.getElementById("play"),
    over = document.getElementById("over"),
    fresh = document.getElementById("fresh");
  const KEEP_S = 20,
    BEHIND_S = 2.5,
    STILL_MS = 2000,
    RETRY_MS = 2000;
  let socket = null,
    wanted = false,
    began = 0,
    retry = 0;

  const say = (state) => {
    player.dataset.state = state;
    osd.textContent = player.dataset[`say${state[0].toUpperCase()}${state.slice(1)}`] ?? "";
  };
  over?.addEventListener("change", () => player.classList.toggle("bare", !over.checked));

  // Stills go on while nothing better is shown.
  const fetchStill = () => {
    if (document.hidden || player.dataset.state === "live") return;
    const next = new Image();
    next.onload = () => {
      still.src = next.src;
      still.hidden = false;
      player.querySelector(".noshot")?.remove();
    };
    next.src = `${player.dataset.still}?at=${Date.now()}`;
  };
  setInterval(fetchStill, STILL_MS);

  // A camera that has just been attached: the health card turns by itself, and so does this line.
  if (fresh)
    new MutationObserver(() => {
      if (document.querySelector("#camera-health[data-state=online]")) {
        fresh.textContent = fresh.dataset.done;
        fresh.classList.replace("calm", "ok");
        fetchStill();
      }
    }).observe(document.getElementById("main"), { subtree: true, childList: true, attributes: true });

  // One stream: its source buffer, and what waits to be put into it.
  class Stream {
    constructor(mime) {
      this.source = new MediaSource();
      this.waiting = [];
      this.buffer = null;
      this.url = URL.createObjectURL(this.source);
      this.source.addEventListener("sourceopen", () => {
        if (this.buffer || this.source.readyState !== "open") return;
        this.buffer = this.source.addSourceBuffer(mime);
        this.buffer.addEventListener("updateend", () => this.step());
        this.step();
      });
      video.src = this.url;
      video.play().catch(() => {});
    }

    push(data) {
      this.waiting.push(data);
      this.step();
    }

    step() {
      const buffer = this.buffer;
      if (!buffer || buffer.updating || this.source.readyState !== "open") return;
      const held = buffer.buffered;
      if (held.length) {
        const start = held.start(0),
          end = held.end(held.length - 1);
        if (end - start > KEEP_S && video.currentTime - start > KEEP_S / 2) {
          buffer.remove(start, video.currentTime - KEEP_S / 4);
          return;
        }
        // Where pieces were left out there is a gap; and nobody wants to see the past.
        const last = held.start(held.length - 1);
        if (video.currentTime < last || end - video.currentTime > BEHIND_S)
          video.currentTime = Math.max(last, end - 0.3);
      }
      const next = this.waiting.shift();
      if (!next) return;
      try {
        buffer.appendBuffer(next);
      } catch {
        socket?.close();
      }
    }

    end() {
      URL.revokeObjectURL(this.url);
      this.waiting.length = 0;
    }
  }

  let stream = null,
    picture = null;
  const clear = () => {
    stream?.end();
    stream = null;
    if (picture) URL.revokeObjectURL(picture);
    picture = null;
    video.hidden = true;
    still.hidden = !still.getAttribute("src");
  };
  video.addEventListener("playing", () => {
    video.hidden = false;
    still.hidden = true;
    if (!player.dataset.firstFrameMs) player.dataset.firstFrameMs = Math.round(performance.now() - began);
    say("live");
  });
  setInterval(() => {
    if (player.dataset.state !== "live" || !video.getVideoPlaybackQuality) return;
    const quality = video.getVideoPlaybackQuality();
    player.dataset.frames = quality.totalVideoFrames;
    player.dataset.dropped = quality.droppedVideoFrames;
  }, 500);

  const shown = (data) => {
    if (stream) {
      stream.push(data);
      return;
    }
    const url = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
    still.onload = () => {
      if (picture) URL.revokeObjectURL(picture);
      picture = url;
      if (!player.dataset.firstFrameMs) player.dataset.firstFrameMs = Math.round(performance.now() - began);
    };
    still.src = url;
    still.hidden = false;
    player.dataset.frames = Number(player.dataset.frames ?? 0) + 1;
  };

  const told = (text) => {
    const news = JSON.parse(text);
    if (news.skipped) player.dataset.skipped = Number(player.dataset.skipped ?? 0) + news.skipped;
    if (!news.mime) return;
    clear();
    player.dataset.mime = news.mime;
    if (news.mime === "image/jpeg") {
      say("jpeg");
    } else if (window.MediaSource?.isTypeSupported(news.mime)) {
      stream = new Stream(news.mime);
    } else {
      stop();
      say("codec");
    }
  };

  const start = () => {
    wanted = true;
    began = performance.now();
    delete player.dataset.firstFrameMs;
    button.textContent = button.dataset.stop;
    say("connecting");
    socket = new WebSocket(player.dataset.url.replace(/^/, location.origin.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    let opened = false;
    socket.onopen = () => {
      opened = true;
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? told(data) : shown(data));
    socket.onclose = (event) => {
      clear();
      socket = null;
      if (!wanted) return;
      if (event.code === 4001) {
        stop();
        say(event.reason);
        return;
      }
      say(opened ? "over" : "failed");
      retry = setTimeout(start, RETRY_MS);
    };
  };
  const stop = () => {
    wanted = false;
    clearTimeout(retry);
    socket?.close();
    clear();
    button.textContent = button.dataset.start;
    say("still");
  };
  if (button) {
    button.dataset.start = button.textContent;
    button.hidden = false;
    button.addEventListener("click", () => (wanted ? stop() : start()));
    // Whoever has just said who they are wants to look now.
    start();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && wanted) {
        stop();
        wanted = null;
      } else if (!document.hidden && wanted === null) start();
    });
  }
})();
