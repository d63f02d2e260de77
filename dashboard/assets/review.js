// Keys for those who review or mark much: J and K move, C confirms, R rejects, O opens; on the page of a taught
// check Y, N and S mark the picture and move on.
(() => {
  const typing = (event) =>
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.target.matches?.("textarea,select,input:not([type=radio]):not([type=checkbox])");
  const finds = [...document.querySelectorAll(".finding")];
  let here = -1;
  const go = (to) => {
    if (!finds.length) return;
    here = Math.min(finds.length - 1, Math.max(0, to));
    finds.forEach((find, index) => find.classList.toggle("here", index === here));
    finds[here].querySelector("a.fac").focus({ preventScroll: true });
    finds[here].scrollIntoView({ block: "nearest" });
  };
  finds.forEach((find, index) =>
    find.addEventListener("focusin", () => {
      here = index;
      finds.forEach((other, at) => other.classList.toggle("here", at === here));
    }),
  );
  const decide = (verdict) => {
    const form = finds[here]?.querySelector("form.verdict");
    const button = form?.querySelector(`button[value=${verdict}]`);
    if (button) form.requestSubmit(button);
  };

  const crops = [...document.querySelectorAll(".crop")];
  const paint = (crop) => {
    crop.dataset.mark = crop.querySelector("input:checked")?.value ?? "";
  };
  for (const crop of crops) crop.addEventListener("change", () => paint(crop));
  const mark = (value) => {
    const crop = document.activeElement?.closest?.(".crop") ?? crops[0];
    if (!crop) return;
    crop.querySelector(`input[value=${value}]`).checked = true;
    paint(crop);
    const next = crops[crops.indexOf(crop) + 1] ?? crop;
    next.querySelector("input:checked, input").focus();
  };

  document.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    const key = event.key.toLowerCase();
    const review = { j: () => go(here + 1), k: () => go(here - 1), c: () => decide("confirmed"), r: () => decide("rejected"), o: () => finds[here]?.querySelector("a.fac").click() };
    const teach = { y: () => mark("yes"), n: () => mark("no"), s: () => mark("skip") };
    const act = (finds.length ? review : crops.length ? teach : {})[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
