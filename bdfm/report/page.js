// What the page does when it is read: pictures are drawn when they come into sight, rows of long tables follow
// when they are scrolled to, and all of it before it is printed. A page of thousands of assets opens at once.
(function () {
  const AHEAD = { rootMargin: "400px" }; // of the window: what is drawn before it is seen
  const PAPER = 680; // width of a picture on paper, px

  // -- rows that wait ------------------------------------------------------------------------------------

  // Rows wait as text, in parts, each in a script of its own beside the table; escaped where they were made.
  function more(table) {
    const part = table.parentElement.querySelector("script.rows");
    if (!part) return false;
    table.tBodies[0].insertAdjacentHTML("beforeend", part.textContent);
    part.remove();
    return true;
  }

  function all(table) {
    while (more(table));
  }

  const tables = new Set(
    [...document.querySelectorAll("script.rows")].map((part) => part.parentElement.querySelector("table"))
  );
  tables.forEach((table) => {
    const end = document.createElement("div");
    table.after(end);
    const seen = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        seen.unobserve(end);
        if (more(table)) seen.observe(end); // it may still be in sight
      },
      { root: table.parentElement, ...AHEAD }
    );
    seen.observe(end);
  });

  // -- pictures ------------------------------------------------------------------------------------------

  // The library is read when the first picture is drawn.
  function library() {
    if (!window.Plotly) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("plotly").textContent;
      document.head.append(script);
    }
    return window.Plotly;
  }

  function draw(place) {
    const text = place.nextElementSibling;
    if (!text) return;
    const { data, layout } = JSON.parse(text.textContent);
    text.remove();
    library().newPlot(place, data, layout, { displaylogo: false, responsive: true, displayModeBar: false });
  }

  const places = [...document.querySelectorAll(".figure .drawing")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        draw(entry.target);
      }
  }, AHEAD);
  places.forEach((place) => near.observe(place));

  // -- paper ---------------------------------------------------------------------------------------------

  addEventListener("beforeprint", () => {
    tables.forEach(all);
    places.forEach((place) => {
      near.unobserve(place);
      draw(place);
      library().relayout(place, { width: PAPER });
    });
  });
  addEventListener("afterprint", () => {
    places.forEach((place) => library().relayout(place, { width: null, autosize: true }));
  });

  // -- sort and search -----------------------------------------------------------------------------------

  const table = document.getElementById("assets");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");

  function rows() {
    all(table);
    return [...body.rows];
  }

  function value(row, k) {
    const cell = row.cells[k];
    return cell.dataset.v === undefined ? cell.textContent : parseFloat(cell.dataset.v);
  }

  heads.forEach((head, k) =>
    head.firstElementChild.addEventListener("click", () => {
      const own = rows();
      const numeric = typeof value(own[0], k) === "number";
      const now = head.getAttribute("aria-sort");
      const up = now === null ? !numeric : now === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      own.sort((a, b) => {
        const [x, y] = [value(a, k), value(b, k)];
        const way = numeric ? x - y : x.localeCompare(y);
        return up ? way : -way;
      });
      body.append(...own);
    })
  );
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    const own = rows();
    let n = 0;
    for (const row of own) {
      const text = [0, 1, 2].map((k) => row.cells[k].textContent).join(" ");
      row.hidden = !text.toLowerCase().includes(wanted);
      n += !row.hidden;
    }
    shown.textContent = n + " of " + own.length;
  });
})();
