"use strict";
(() => {
  const root = document.documentElement;
  const byId = (name) => document.getElementById(name);
  const make = (name, attributes = {}, text = "") => {
    const element = Object.assign(document.createElement(name), attributes);
    element.textContent = text;
    return element;
  };

  const status = byId("status");
  const tell = (words, wrong = false) => { status.textContent = words; status.classList.toggle("error", wrong); };

  let mostBytes = Infinity;
  fetch("/about").then((response) => response.json()).then((about) => {
    mostBytes = about.most_bytes;
    byId("checkpoint").textContent = about.checkpoint;
    const known = byId("known");
    known.querySelector("summary").textContent = `The classifier knows ${about.classes.length} classes`;
    known.querySelector("p").textContent = about.classes.join(", ");
    known.hidden = false;
  });

  // one class at a time: its mask over the photograph
  const choice = byId("class");
  const rows = document.querySelector(".shares tbody");
  const stack = byId("stack");
  let classes = [];
  const show = (number) => {
    const chosen = classes[number];
    choice.selectedIndex = number;
    stack.querySelector(".map").src = chosen.map;
    stack.querySelector(".map").alt = `Mask of ${chosen.name}`;
    byId("seen").replaceChildren(make("strong", {}, chosen.name), "Point at the picture, or reach it with the Tab key, to see the photograph alone.");
    [...rows.rows].forEach((row, n) => (n === number ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current")));
  };
  choice.addEventListener("change", () => show(choice.selectedIndex));
  byId("opacity").addEventListener("input", (event) => root.style.setProperty("--opacity", event.target.value / 100));

  const row = (each, number) => {
    const line = make("tr", { className: each.present ? "present" : "" });
    const head = make("th", { scope: "row" });
    const button = make("button", { type: "button" }, each.name);
    button.addEventListener("click", () => show(number));
    head.append(button);
    const share = make("td", { className: "share" });
    const bar = make("span");
    bar.style.setProperty("--share", each.probability);
    share.append(bar);
    line.append(head, share, make("td", {}, each.probability.toFixed(3)), make("td", {}, `${(100 * each.area).toFixed(0)} %`));
    return line;
  };

  const tile = (caption, picture) => {
    const figure = make("figure", { className: "tile" });
    figure.append(make("img", { src: picture, alt: caption }), make("figcaption", {}, caption));
    return figure;
  };

  const draw = (answer) => {
    classes = answer.classes;
    byId("result").style.setProperty("--ratio", `${answer.width} / ${answer.height}`);
    byId("overview").replaceChildren(tile("photograph", answer.photograph), ...answer.overview.map((each) => tile(each.caption, each.picture)));
    choice.replaceChildren(...classes.map((each) => make("option", {}, each.name)));
    rows.replaceChildren(...classes.map(row));
    const left = answer.of_classes - classes.length;
    const present = answer.reached
      ? "The classes that count as present stand first, in bold."
      : "No class is probable enough to count as present: the most probable one, in bold, stands for it, and its mask may mean little.";
    byId("classes-note").textContent = `${present}${left ? ` The ${left} least probable classes are left out.` : ""}`;
    stack.querySelector(".photograph").src = answer.photograph;
    show(0);
    byId("result").hidden = false;
  };

  // a photograph that is chosen while another one is explained replaces it
  let latest = 0;
  const send = async (file) => {
    const number = ++latest;
    byId("result").hidden = true;
    if (file.size > mostBytes) {
      tell(`${file.name} is larger than ${mostBytes / 2 ** 20} MB: shrink it, or serve with --most_megabytes`, true);
      return;
    }
    tell(`Explaining ${file.name} …`);
    try {
      const response = await fetch("/explain", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file });
      const answer = await response.json();
      if (number !== latest) return;
      if (answer.error) { tell(`${file.name}: ${answer.error}`, true); return; }
      draw(answer);
      tell(`${file.name}, ${answer.width} × ${answer.height} pixels`);
    } catch {
      if (number === latest) tell("The server does not answer: is it still running?", true);
    }
  };

  const drop = byId("drop");
  const input = byId("file");
  input.addEventListener("change", () => { if (input.files.length) send(input.files[0]); input.value = ""; });
  // anywhere on the page: a photograph that misses the field would else replace the page
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
})();
