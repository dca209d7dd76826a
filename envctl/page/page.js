"use strict";
(() => {
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const table = document.getElementById("cells");
  const readout = document.querySelector(".readout");

  all(".script").forEach((node) => { node.hidden = false; });

  // sorting: cells that passed stay first, cells without a figure last
  const sort = (head) => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    const first = head.hasAttribute("aria-sort") ? rising : head.dataset.up !== "1";
    const sign = first ? 1 : -1;
    const column = [...head.parentNode.children].indexOf(head);
    const name = head.dataset.key === "name";
    const value = (row) => {
      const text = row.children[column].dataset.value;
      return name ? text : text === undefined ? null : text === "inf" ? Infinity : Number(text);
    };
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (name) return sign * x.localeCompare(y, "en");
      if (a.dataset.rank !== b.dataset.rank) return a.dataset.rank - b.dataset.rank;
      if (x === null || y === null) return (x === null) - (y === null);
      return x === y ? a.dataset.cell - b.dataset.cell : sign * (x < y ? -1 : 1);
    };
    all("[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", first ? "ascending" : "descending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  };
  all("th[data-key]", table).forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
  });

  // one cell is selected in every drawing at once
  const select = (number) => {
    all(".selected").forEach((node) => node.classList.remove("selected"));
    all(`[data-cell="${number}"]`).forEach((node) => node.classList.add("selected"));
    if (!readout) return;
    const row = table.querySelector(`tr[data-cell="${number}"]`);
    const heads = all("thead th", table).slice(2);
    const figures = [...row.children].slice(2).map((cell, index) => {
      const [title, unit] = [".head", ".unit"].map((query) => heads[index].querySelector(query).textContent);
      return `${title.toLowerCase()} ${cell.querySelector(".figure").textContent} ${unit}`;
    });
    readout.textContent = `${row.querySelector(".name").textContent} ${row.querySelector(".variant").textContent}: `
      + `${figures.join(", ")}. `;
    const link = document.createElement("a");
    link.href = `#cell-${number}`;
    link.textContent = "Its environment and command";
    readout.append(link);
  };
  all(".mark").forEach((mark) => {
    mark.addEventListener("click", () => select(mark.dataset.cell));
    mark.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      select(mark.dataset.cell);
    });
  });
  all("tr[data-cell]", table).forEach((row) => {
    row.addEventListener("click", (event) => { if (!event.target.closest("a")) select(row.dataset.cell); });
  });

  // a link to a cell opens it; a printed page shows all of them
  const open = () => {
    const target = location.hash.startsWith("#cell-") && document.getElementById(location.hash.slice(1));
    if (target) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  all('a[href^="#cell-"]').forEach((link) => link.addEventListener("click", () => setTimeout(open)));
  addEventListener("beforeprint", () => all("details").forEach((node) => { node.open = true; }));
  open();

  all(".copy").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentNode.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    });
  });
})();
