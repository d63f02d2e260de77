// Drawing zones, masks and the counting line on a picture. The drawing is kept as text in the form's own fields,
// where it can be typed as well: one area a line, numbers as shares of the picture.
(() => {
  const form = document.getElementById("attach");
  if (!form) return;

  // Only the fields of the chosen kind of source are shown.
  const kind = document.getElementById("kind");
  const show = () => {
    for (const part of form.querySelectorAll("[data-kind]"))
      part.hidden = !part.dataset.kind.split(" ").includes(kind.value);
  };
  kind?.addEventListener("change", show);
  if (kind) show();
  // What is typed after a stream was picked from the list wins.
  for (const name of ["main", "sub"])
    form.elements[name]?.addEventListener("input", () => {
      for (const pick of form.querySelectorAll(`[name=pick_${name}]`)) pick.checked = false;
    });

  const box = document.getElementById("drawing"),
    canvas = document.getElementById("canvas");
  const words = (key) => box.dataset[`say${key[0].toUpperCase()}${key.slice(1)}`];
  const W = 1600,
    H = 900;
  const make = (name, attributes = {}, parent = null) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent?.append(node);
    return node;
  };
  const html = (name, attributes = {}, text = "") => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    return node;
  };

  // The fields' text, and what is drawn.
  const field = (name) => form.elements[name];
  const spots = (text) =>
    text
      .trim()
      .split(/\s+/)
      .filter(Boolean)
      .map((pair) => pair.split(/[,，]/).map(Number));
  const sound = (corners) => corners.every((c) => c.length === 2 && c.every((n) => n >= 0 && n <= 1));
  const print = (corners) => corners.map((c) => c.map((n) => n.toFixed(4)).join(",")).join(" ");
  const read = () => {
    const areas = [];
    for (const line of field("zones").value.split("\n")) {
      const at = Math.max(line.lastIndexOf(":"), line.lastIndexOf("："));
      if (at < 0) continue;
      const [, id, name] = /^(\S+)\s*(.*)$/.exec(line.slice(0, at).trim()) ?? [];
      const corners = spots(line.slice(at + 1));
      if (id && sound(corners)) areas.push({ kind: "zone", id, name, corners });
    }
    for (const line of field("masks").value.split("\n")) {
      const corners = spots(line);
      if (corners.length && sound(corners)) areas.push({ kind: "mask", corners });
    }
    const corners = spots(field("line").value);
    if (corners.length === 2 && sound(corners)) areas.push({ kind: "line", corners });
    return areas;
  };
  const write = () => {
    const of = (kind) => areas.filter((area) => area.kind === kind);
    field("zones").value = of("zone")
      .map((area) => `${area.id} ${area.name}: ${print(area.corners)}\n`)
      .join("");
    field("masks").value = of("mask")
      .map((area) => `${print(area.corners)}\n`)
      .join("");
    field("line").value = of("line").map((area) => print(area.corners))[0] ?? "";
    const list = document.getElementById("zonelist");
    list.replaceChildren(
      ...of("zone").map((area) => html("option", { value: area.id, label: area.name || area.id })),
    );
  };

  let areas = read(),
    drawing = null,
    cross = [0.5, 0.5],
    showCross = false;
  const svg = make("svg", {
    class: "over edit",
    viewBox: `0 0 ${W} ${H}`,
    preserveAspectRatio: "none",
  });
  canvas.append(svg);
  const bar = html("p", { class: "acts tools" }),
    help = html("p", { class: "hint" }, words("keys")),
    list = html("ul", { class: "rows" });
  box.prepend(bar);
  box.append(help, list);
  box.hidden = false;
  document.getElementById("typed").open = Boolean(document.querySelector("#typed .wrong"));

  const at = (corner) => corner.map((share, i) => Math.round(share * (i ? H : W)));
  const points = (corners) => corners.map((corner) => at(corner).join(",")).join(" ");
  const draw = () => {
    svg.replaceChildren();
    areas.forEach((area, index) => {
      if (area.kind === "line") {
        const [[x1, y1], [x2, y2]] = area.corners.map(at);
        make("line", { class: "tally", x1, y1, x2, y2 }, svg);
      } else {
        make("polygon", { class: area.kind, points: points(area.corners) }, svg);
        if (area.kind === "zone") {
          const [x, y] = at(area.corners[0]);
          make("text", { class: "zname", x: x + 12, y: y + 40 }, svg).textContent = area.name || area.id;
        }
      }
      area.corners.forEach((corner, which) => {
        const [cx, cy] = at(corner);
        const knob = make("circle", { class: "knob", cx, cy, r: 11 }, svg);
        knob.addEventListener("pointerdown", (event) => drag(event, index, which));
      });
    });
    if (drawing) {
      make("polyline", { class: `${drawing.kind} open`, points: points(drawing.corners) }, svg);
      for (const corner of drawing.corners) {
        const [cx, cy] = at(corner);
        make("circle", { class: "knob", cx, cy, r: 9 }, svg);
      }
      if (showCross) {
        const [x, y] = at(cross);
        make("path", { class: "cross", d: `M${x} ${y - 40}V${y + 40}M${x - 40} ${y}H${x + 40}` }, svg);
      }
    }
    tools();
    rows();
  };

  const tools = () => {
    bar.replaceChildren();
    if (!drawing) {
      for (const kind of ["zone", "mask", "line"]) {
        const button = html("button", { type: "button", class: "btn" }, words(kind));
        button.disabled = kind === "line" && areas.some((area) => area.kind === "line");
        button.addEventListener("click", () => begin(kind));
        bar.append(button);
      }
      return;
    }
    const done = html("button", { type: "button", class: "btn primary" }, words("done")),
      undo = html("button", { type: "button", class: "btn" }, words("undo"));
    done.disabled = drawing.corners.length < (drawing.kind === "line" ? 2 : 3);
    done.addEventListener("click", finish);
    undo.addEventListener("click", () => {
      if (!drawing.corners.pop()) drawing = null;
      draw();
    });
    bar.append(done, undo);
  };
  const rows = () => {
    list.replaceChildren();
    areas.forEach((area, index) => {
      const row = html("li"),
        remove = html("button", { type: "button", class: "btn" }, words("delete"));
      const title = { zone: area.id, mask: words("mask"), line: words("line") }[area.kind];
      const label = html("label", { class: "named" }, title);
      if (area.kind === "zone") {
        const name = html("input", { maxlength: "40", placeholder: words("name") });
        name.value = area.name;
        name.addEventListener("input", () => {
          area.name = name.value.replace(/[\n\r]/g, " ");
          write();
        });
        label.append(name);
      }
      remove.addEventListener("click", () => {
        areas.splice(index, 1);
        changed();
      });
      row.append(label, remove);
      list.append(row);
    });
  };
  const changed = () => {
    write();
    draw();
  };

  const begin = (kind) => {
    drawing = { kind, corners: [] };
    canvas.focus();
    draw();
  };
  const place = (corner) => {
    drawing.corners.push(corner.map((share) => Math.min(1, Math.max(0, share))));
    if (drawing.kind === "line" && drawing.corners.length === 2) finish();
    else if (drawing.corners.length === 32) finish();
    else draw();
  };
  const finish = () => {
    if (drawing.corners.length < (drawing.kind === "line" ? 2 : 3)) return;
    const area = { kind: drawing.kind, corners: drawing.corners };
    if (area.kind === "zone") {
      let number = 1;
      while (areas.some((other) => other.id === `zone-${number}`)) number += 1;
      area.id = `zone-${number}`;
      area.name = "";
    }
    areas.push(area);
    drawing = null;
    changed();
  };
  const spot = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  };
  canvas.addEventListener("click", (event) => {
    if (!drawing) return;
    showCross = false;
    place(spot(event));
  });
  canvas.addEventListener("dblclick", (event) => {
    event.preventDefault();
    if (drawing) finish();
  });
  const drag = (event, index, which) => {
    if (drawing) return;
    event.preventDefault();
    const move = (moved) => {
      areas[index].corners[which] = spot(moved).map((share) => Math.min(1, Math.max(0, share)));
      draw();
    };
    const up = () => {
      removeEventListener("pointermove", move);
      changed();
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up, { once: true });
  };
  canvas.addEventListener("keydown", (event) => {
    if (!drawing) return;
    const step = event.shiftKey ? 0.05 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const by = moves[event.key];
    if (by) {
      cross = cross.map((share, i) => Math.min(1, Math.max(0, share + by[i])));
      showCross = true;
      draw();
    } else if (event.key === " ") place([...cross]);
    else if (event.key === "Enter") finish();
    else if (event.key === "Backspace") {
      drawing.corners.pop();
      draw();
    } else if (event.key === "Escape") {
      drawing = null;
      draw();
    } else return;
    event.preventDefault();
  });
  for (const name of ["zones", "masks", "line"])
    field(name).addEventListener("change", () => {
      areas = read();
      draw();
    });
  write();
  draw();
})();
