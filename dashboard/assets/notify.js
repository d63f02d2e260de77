// Has this browser notified: asks the person, subscribes, and hands the subscription in with the page's own form.
(() => {
  const form = document.querySelector("#notify");
  if (!form) return;
  const say = (key) => {
    const words = document.querySelector("#notify-said");
    words.textContent = form.dataset[key] ?? "";
    words.hidden = false;
  };
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) {
    say("unable");
    return;
  }
  form.hidden = false;
  const bytes = (text) => {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (c) => c.charCodeAt(0));
  };
  const letters = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=+$/, "");
  const name = () => {
    const agent = navigator.userAgent;
    const browser = ["Edg", "Firefox", "Chrome", "Safari"].find((word) => agent.includes(`${word}/`)) ?? "?";
    const system = /\(([^;)]+)/.exec(agent)?.[1] ?? "";
    return `${browser === "Edg" ? "Edge" : browser} · ${system}`.slice(0, 80);
  };
  const subscribe = async () => {
    if ((await Notification.requestPermission()) !== "granted") return say("denied");
    await navigator.serviceWorker.register("/push.js", { scope: "/" });
    const worker = await navigator.serviceWorker.ready;
    const earlier = await worker.pushManager.getSubscription();
    const key = bytes(form.dataset.key);
    // One for another key is of no use: the server's key was changed.
    const same = earlier && letters(earlier.options.applicationServerKey ?? new ArrayBuffer(0)) === form.dataset.key;
    if (earlier && !same) await earlier.unsubscribe();
    const kept = same
      ? earlier
      : await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    form.elements.endpoint.value = kept.endpoint;
    form.elements.p256dh.value = letters(kept.getKey("p256dh"));
    form.elements.auth.value = letters(kept.getKey("auth"));
    form.elements.label.value = name();
    form.submit();
  };
  form.querySelector("button").addEventListener("click", async (event) => {
    event.preventDefault();
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await subscribe();
    } catch {
      // The browser's maker cannot be reached from here, or the browser refuses.
      say("failed");
    } finally {
      button.disabled = false;
    }
  });
})();
