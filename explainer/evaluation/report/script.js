"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const make = (name, attributes = {}, text = "") => {
    const element = Object.assign(document.createElement(name), attributes);
    element.textContent = text;
    return element;
  };

  // tables: the header's words become buttons that sort; what has no number stays last
  const value = (row, column) => {
    const cell = row.cells[column];
    if (column === 0) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const order = (column, down) => (a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (x === null || y === null) return (x === null) - (y === null);
    const found = column === 0 ? x.localeCompare(y) : x - y;
    return down ? -found : found;
  };
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const key = head.querySelector(".key");
      const button = make("button", { type: "button" });
      button.append(...key.childNodes);
      key.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.up === "1" ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", now);
        body.append(...[...body.rows].sort(order(column, now === "descending")));
      });
    });
  }

  // the gallery: opacity, which methods, and two pictures compared
  const gallery = document.getElementById("gallery");
  if (gallery) {
    all(".controls", gallery).forEach((element) => { element.hidden = false; });
    const opacity = document.getElementById("opacity");
    opacity.addEventListener("input", () => root.style.setProperty("--opacity", opacity.value / 100));
    const tiles = all(".tile", gallery);
    const names = [...new Set(tiles.map((tile) => tile.dataset.method))].filter(Boolean);
    const methods = document.getElementById("methods");
    for (const name of names) {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => {
        for (const tile of tiles) if (tile.dataset.method === name) tile.hidden = !box.checked;
      });
      const label = make("label");
      label.append(box, name);
      methods.append(label);
    }

    const dialog = document.getElementById("compare");
    const sides = ["left", "right"].map((name) => document.getElementById(name));
    const layers = ["under", "over"].map((name) => document.getElementById(name));
    const wipe = document.getElementById("wipe");
    let current = [];
    const draw = () => sides.forEach((side, n) => {
      const tile = current[side.selectedIndex];
      layers[n].replaceChildren(...[...tile.querySelector(".stack").children].map((child) => child.cloneNode(true)));
      document.getElementById(`${side.id}-note`).textContent = tile.querySelector("figcaption span")?.textContent ?? "";
    });
    const open = (tile) => {
      const parent = tile.closest(".tiles");
      current = all(".tile", parent);
      layers.forEach((layer) => {
        layer.style.cssText = parent.style.cssText;
        layer.classList.toggle("pixels", parent.classList.contains("pixels"));
      });
      for (const side of sides) side.replaceChildren(...current.map((each) => make("option", {}, each.dataset.method || "Photograph")));
      sides[0].selectedIndex = 0;
      sides[1].selectedIndex = current.indexOf(tile);
      document.getElementById("compare-title").textContent = tile.closest(".image").querySelector("h3").firstChild.textContent.trim();
      draw();
      dialog.showModal();
    };
    sides.forEach((side) => side.addEventListener("change", draw));
    wipe.addEventListener("input", () => dialog.style.setProperty("--wipe", `${wipe.value}%`));
    document.getElementById("close").addEventListener("click", () => dialog.close());
    for (const tile of tiles) {
      if (!tile.dataset.method) continue;
      const button = make("button", { type: "button" }, "Compare");
      button.setAttribute("aria-label", `Compare ${tile.dataset.method} with the photograph or another map`);
      button.addEventListener("click", () => open(tile));
      tile.querySelector("figcaption").append(button);
      tile.querySelector(".stack").addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault(); // or the same key would press the dialog's first button
        open(tile);
      });
    }
  }

  // paper shows what is folded
  const folded = all("details");
  let before = [];
  addEventListener("beforeprint", () => { before = folded.map((each) => each.open); folded.forEach((each) => { each.open = true; }); });
  addEventListener("afterprint", () => folded.forEach((each, n) => { each.open = before[n]; }));
})();
