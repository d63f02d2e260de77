// The service worker: shows what the server tells, also while no page is open, and leads to the case. It keeps nothing.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let said = {};
  try {
    said = event.data?.json() ?? {};
  } catch {
    /* Something is shown all the same: a browser takes the permission away from a site that shows nothing. */
  }
  event.waitUntil(
    self.registration.showNotification(said.title ?? "阳光厨房 · Sunshine Kitchen", {
      body: said.body ?? "",
      tag: said.tag,
      renotify: Boolean(said.tag),
      requireInteraction: Boolean(said.stays),
      icon: "/a/icon.svg",
      data: { path: own(said.link) },
    }),
  );
});

// A page of this site only, however the link came to be.
const own = (link) => {
  try {
    const url = new URL(link, self.location.origin);
    return url.pathname + url.search;
  } catch {
    return "/";
  }
};

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const path = event.notification.data?.path ?? "/";
  const show = async () => {
    const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const open = pages.find((page) => own(page.url) === path);
    return open ? open.focus() : self.clients.openWindow(path);
  };
  event.waitUntil(show());
});
