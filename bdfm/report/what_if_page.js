// What the reader touches of "What if": views as forms, and what they do as tables. Texts are set as texts.
(function () {
  const ROWS = 30; // assets shown unless all are asked for
  const KINDS = {
    absolute: "Return of an asset",
    relative: "Return of one asset over another",
    ordering: "One asset above another",
    quantile: "Asset in a fifth",
  };
  const MEANINGS = { evidence: "measured (evidence)", constraint: "true (constraint)" };
  const SENSES = { equal: "equal to", at_least: "at least", at_most: "at most" };
  const FIFTHS = { 1: "1, lowest", 2: "2", 3: "3", 4: "4", 5: "5, highest" };
  const INNER = new Set(["second, %", "third, %", "fourth, %"]); // left out on a phone
  const MEASURES = {
    mean: "expected return",
    volatility: "volatility",
    value_at_risk: "value at risk",
    expected_shortfall: "expected shortfall",
    probability_of_loss: "probability of loss",
  };
  const part = (name) => document.getElementById("what-if-" + name);
  const places = { views: part("views"), found: part("found"), status: part("status"), refusal: part("refusal") };
  const forms = [];
  let state = null;
  let last = null;

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties || {});
    element.append(...children);
    return element;
  }

  // Draws are decoded when the first view is set: a page that is only read does not wait for them.
  function open() {
    if (state) return;
    const data = JSON.parse(part("data").textContent);
    const sample = WhatIf.read(data);
    const options = document.createDocumentFragment();
    data.assets.forEach((symbol, a) => {
      const name = data.names[a] === symbol ? "" : " · " + data.names[a];
      options.append(make("option", { value: symbol, textContent: symbol + name }));
    });
    const book = data.book && WhatIf.portfolio(sample, data.book);
    state = { data, sample, options, book, before: said(sample, sample.weights, book, data.level) };
    build();
  }

  function said(sample, weights, book, level) {
    return {
      fifths: WhatIf.fifths(sample, weights),
      medians: sample.returns.map((_, a) => WhatIf.assetQuantile(sample, a, 0.5, weights)),
      risk: book && WhatIf.risk(book, weights, level),
    };
  }

  // -- views ---------------------------------------------------------------------------------------------

  function choice(title, entries, value, change) {
    const select = make("select", {});
    if (entries instanceof Node) select.append(entries.cloneNode(true));
    else for (const [value, text] of Object.entries(entries)) select.append(make("option", { value, textContent: text }));
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    return make("label", {}, title, select);
  }

  const rounded = (x) => Number(x.toPrecision(12));

  function number(title, value, change, range) {
    const show = value === undefined ? "" : rounded(100 * value);
    const field = make("input", { type: "number", step: "any", value: show, inputMode: "decimal" });
    const given = () => (field.value.trim() === "" ? undefined : rounded(Number(field.value) / 100));
    const labels = [make("label", {}, title, field)];
    if (range) {
      const slider = make("input", { type: "range", min: range[0], max: range[1], step: range[2], value: show });
      slider.setAttribute("aria-label", title + ", slider");
      slider.addEventListener("input", () => {
        field.value = slider.value;
        change(given());
      });
      field.addEventListener("input", () => (slider.value = field.value));
      labels.push(slider);
    }
    field.addEventListener("input", () => change(given()));
    return labels;
  }

  // Numbers that a view starts from: what the forecast says of its subject, so that it begins as no surprise.
  function start(form) {
    const { sample } = state;
    const x = WhatIf.feature(sample, view(form));
    const { mean, sd } = WhatIf.moments(x, sample.weights);
    const sorted = Float64Array.from(x).sort();
    const ends = [0.01, 0.99].map((share) => Math.round(1000 * sorted[Math.floor(share * (sorted.length - 1))]) / 10);
    form.range = [Math.min(ends[0], -1), Math.max(ends[1], 1), 0.1];
    form.mean = Math.round(1000 * mean) / 1000;
    form.error = Math.max(Math.round(1000 * sd) / 1000, 0.001);
    form.sd = form.semantics === "evidence" ? form.error : undefined;
    form.probability = Math.round(100 * mean) / 100;
  }

  // Table of a run file of what a form says.
  function view(form) {
    const { kind, semantics } = form;
    const table = { kind };
    if (kind === "ordering") Object.assign(table, { above: form.one, below: form.other });
    else table.asset = form.one;
    if (kind === "relative") table.over = form.other;
    if (kind === "absolute" || kind === "relative") Object.assign(table, { mean: form.mean, sd: form.sd });
    else {
      if (kind === "quantile") table.quantile = form.fifth;
      table.probability = form.probability;
    }
    if (semantics === "constraint" && form.sense !== "equal") table.sense = form.sense;
    table.semantics = semantics;
    if (form.confidence !== 1) table.confidence = form.confidence === undefined ? NaN : form.confidence;
    return table;
  }

  function draw(form, wanted) {
    const isReturn = form.kind === "absolute" || form.kind === "relative";
    const two = form.kind === "relative" || form.kind === "ordering";
    const index = forms.indexOf(form);
    const set = (name, again, anew) => (value) => {
      form[name] = value;
      if (name === "semantics") form.sd = value === "evidence" ? form.error : undefined;
      if (anew) start(form);
      if (again) draw(form, name);
      update();
    };
    const add = (name, element) => {
      element.querySelector("select, input").dataset.field = name;
      return element;
    };
    const fields = [
      add("kind", choice("View", KINDS, form.kind, set("kind", true, true))),
      add("one", choice(two ? "Asset that does better" : "Asset", state.options, form.one, set("one", true, true))),
    ];
    if (two) fields.push(add("other", choice("than", state.options, form.other, set("other", true, true))));
    if (form.kind === "quantile")
      fields.push(add("fifth", choice("Fifth", FIFTHS, form.fifth, (x) => set("fifth", true, true)(Number(x)))));
    fields.push(add("semantics", choice("The statement is", MEANINGS, form.semantics, set("semantics", true))));
    if (form.semantics === "constraint")
      fields.push(add("sense", choice("It is", SENSES, form.sense, set("sense"))));
    const [main, slider] = isReturn
      ? number(two ? "Return more, %" : "Return, %", form.mean, set("mean"), form.range)
      : number("Probability, %", form.probability, set("probability"), [0, 100, 1]);
    fields.push(add("number", main), slider);
    if (isReturn) {
      const title = form.semantics === "evidence" ? "± error, %" : "± standard deviation, % (or none)";
      fields.push(add("sd", number(title, form.sd, set("sd"))[0]));
    }
    fields.push(add("confidence", number("Confidence, %", form.confidence, set("confidence"))[0]));
    const remove = make("button", { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove view ${index + 1}`);
    remove.addEventListener("click", () => {
      forms.splice(forms.indexOf(form), 1);
      form.element.remove();
      forms.forEach((other) => draw(other));
      update();
      part("add").focus();
    });
    fields.push(remove);
    const legend = make("legend", { textContent: `View ${index + 1}` });
    form.element.replaceChildren(legend, make("div", { className: "fields" }, ...fields));
    if (wanted) form.element.querySelector(`[data-field=${wanted}]`).focus();
  }

  part("add").addEventListener("click", () => {
    open();
    const { sample } = state;
    const used = new Set(forms.map((form) => form.one));
    const moves = (a) => sample.returns[a][sample.order[a][0]] < sample.returns[a][sample.order[a][sample.m - 1]];
    const free = sample.assets.filter((symbol, a) => !used.has(symbol) && moves(a));
    const form = { kind: "absolute", semantics: "evidence", sense: "equal", fifth: 5, confidence: 1 };
    form.one = free[0] || sample.assets[0];
    form.other = sample.assets.find((symbol) => symbol !== form.one);
    form.element = make("fieldset", { className: "view" });
    start(form);
    forms.push(form);
    places.views.append(form.element);
    draw(form, "kind");
    update();
  });

  part("clear").addEventListener("click", () => {
    forms.length = 0;
    places.views.replaceChildren();
    update();
    part("add").focus();
  });

  // -- what they do --------------------------------------------------------------------------------------

  function tableOf(title, heads) {
    const cells = heads.map((text) => make("th", { scope: "col", textContent: text, className: INNER.has(text) ? "inner" : "" }));
    const head = make("tr", {}, ...cells);
    const body = make("tbody");
    const table = make("table", {}, make("caption", { textContent: title }), make("thead", {}, head), body);
    const around = make("div", { className: "wide", tabIndex: 0 }, table);
    around.setAttribute("role", "region");
    around.setAttribute("aria-label", title);
    return { around, body, table };
  }

  function build() {
    const fifths = tableOf("Fifths under these views", [
      "Symbol",
      ...["lowest fifth, %", "second, %", "third, %", "fourth, %", "highest, %", "highest, change"],
      ...["median, %", "median, change"],
    ]);
    fifths.table.id = "what-if-fifths";
    const search = make("input", { type: "search", placeholder: "symbol, name" });
    const all = make("input", { type: "checkbox" });
    search.id = "what-if-search";
    all.id = "what-if-all";
    search.addEventListener("input", () => rows());
    all.addEventListener("change", () => rows());
    const shown = make("span", {});
    const box = make("label", {}, all, " all assets");
    const tools = make("p", { className: "tools" }, make("label", {}, "Search ", search), box, shown);
    const toml = make("textarea", { id: "what-if-toml", readOnly: true, rows: 12, spellcheck: false });
    const label = make("label", { htmlFor: "what-if-toml" }, "For next month's run file");
    const copy = make("button", { type: "button", id: "what-if-copy", textContent: "Copy" });
    const copied = make("span", {});
    copied.setAttribute("role", "status");
    copy.addEventListener("click", () => {
      const done = () => (copied.textContent = " Copied.");
      const byHand = () => {
        toml.select();
        copied.textContent = document.execCommand("copy") ? " Copied." : " Selected: copy it with the keyboard.";
      };
      if (navigator.clipboard) navigator.clipboard.writeText(toml.value).then(done, byHand);
      else byHand();
    });
    const block = make("div", { className: "block" }, label, toml, make("p", {}, copy, copied));
    state.shown = { fifths, search, all, shown, toml, copied };
    if (state.book) {
      const risk = tableOf("Risk of the book, %", ["measure", "before", "with these views"]);
      risk.table.id = "what-if-risk";
      state.shown.risk = risk;
      places.found.append(risk.around);
    }
    places.found.append(tools, fifths.around, block);
  }

  function shade(p) {
    const strength = 0.75 * Math.min(Math.abs(p - 0.2) / 0.2, 1);
    return `rgba(${p > 0.2 ? "200,85,61" : "59,111,182"},${strength.toFixed(2)})`;
  }

  const fixed = (value, digits) => (100 * value).toFixed(digits).replace(/^-(0\.0*)$/, "$1");

  function cell(value, form) {
    const found = make("td", { textContent: form === undefined ? fixed(value, 1) : form });
    found.dataset.v = value;
    return found;
  }

  function signed(value) {
    const text = fixed(value, 1);
    const found = cell(value, Number(text) > 0 ? "+" + text : text);
    found.className = Number(text) > 0 ? "up" : Number(text) < 0 ? "down" : "same";
    return found;
  }

  // Rows of the fifths: assets of the views first, then those that moved most.
  function rows() {
    const { data, before, shown } = state;
    const wanted = shown.search.value.trim().toLowerCase();
    const named = new Set(last.views.flatMap(WhatIf.symbols));
    const moved = data.assets.map((symbol, a) => {
      const change = last.said.fifths[a].reduce((total, p, k) => total + Math.abs(p - before.fifths[a][k]), 0);
      return change + (named.has(symbol) ? 10 : 0);
    });
    const text = (a) => (data.assets[a] + " " + data.names[a]).toLowerCase();
    const order = [...data.assets.keys()].filter((a) => text(a).includes(wanted)).sort((a, b) => moved[b] - moved[a]);
    const some = shown.all.checked ? order : order.slice(0, ROWS);
    shown.fifths.body.replaceChildren(
      ...some.map((a) => {
        const p = last.said.fifths[a];
        const cells = [...p].map((value, k) => {
          const found = cell(value);
          found.className = k > 0 && k < 4 ? "inner" : "";
          found.style.background = shade(value);
          return found;
        });
        const median = last.said.medians[a];
        const moves = [signed(p[4] - before.fifths[a][4]), cell(median), signed(median - before.medians[a])];
        return make("tr", {}, make("th", { scope: "row", textContent: data.assets[a] }), ...cells, ...moves);
      })
    );
    shown.shown.textContent = `${some.length} of ${data.assets.length}, those that moved most first`;
  }

  function update() {
    const { data, sample, book, shown } = state;
    const views = forms.map(view);
    const found = WhatIf.reweigh(sample, views);
    const whole = (x) => Math.round(x).toLocaleString("en");
    const kept = found.refusal === null ? views : [];
    last = { views: kept, said: said(sample, found.weights, book, data.level) };
    places.status.textContent =
      `${whole(found.effective)} effective of ${whole(sample.m)} draws; at least ${whole(sample.least)} are needed.`;
    const why = found.refusal;
    places.refusal.textContent = why === null ? "" : `Refused; the tables are without views. ${why}`;
    places.found.hidden = false;
    part("clear").hidden = forms.length === 0;
    if (shown.risk)
      shown.risk.body.replaceChildren(
        ...Object.entries(MEASURES).map(([key, title]) => {
          const numbers = [state.before.risk[key], last.said.risk[key]].map((x) => cell(x, fixed(x, 2)));
          return make("tr", {}, make("th", { scope: "row", textContent: title }), ...numbers);
        })
      );
    rows();
    shown.toml.value = WhatIf.toml(kept);
    shown.copied.textContent = "";
  }
})();
