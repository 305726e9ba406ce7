// The tensors on the stage: their matrices, which of them are in view, and where a cell lies.

const SHOWN_TOGETHER = 16; // matrices of one small tensor
const BUTTONS = 8; // choices of an axis; more of them are a slider

class Tensor {
  constructor(name, known) {
    Object.assign(this, known, {name});
    this.section = document.getElementById(`tensor-${name}`);
    this.dense = product(this.size) > page.digits;
    const holders = this.section.querySelectorAll("[data-at]");
    this.slices = [...holders].map((holder) => new Slice(this, holder));
    const together = this.slices.length <= SHOWN_TOGETHER && !this.dense;
    this.choices = this.leading.map((size) => (together || size === 1 ? null : 0)); // null: all of them
    this.together = together;
    this.section.classList.toggle("dense", this.dense);
    this.section.classList.toggle("many", this.slices.length > 4);
    if (this.leading.length > 1 && together) {
      this.section.querySelector(".slices").style.gridTemplateColumns = `repeat(${this.leading.at(-1)}, max-content)`;
      this.section.classList.add("across");
    }
  }

  /** The sizes of the axes before those of a matrix. */
  get leading() {
    return this.size.slice(0, this.size.length - this.drawn);
  }

  /** The row-major number of an index inside the window, or -1. */
  numberOf(index) {
    let number = 0;
    for (let axis = 0; axis < index.length; axis++) {
      const i = index[axis] - this.start[axis];
      if (i < 0 || i >= this.size[axis]) return -1;
      number = number * this.size[axis] + i;
    }
    return number;
  }

  indexOf(number) {
    const index = [];
    for (let axis = this.size.length - 1; axis >= 0; axis--) {
      index.unshift((number % this.size[axis]) + this.start[axis]);
      number = Math.floor(number / this.size[axis]);
    }
    return index;
  }

  /** The slice that holds an index inside the window. */
  sliceOf(index) {
    return this.slices[Math.floor(this.numberOf(index) / product(this.size.slice(-this.drawn)))];
  }

  /** The number at an index as it is written, or "" outside the window. */
  textAt(index) {
    return this.numberOf(index) < 0 ? "" : this.sliceOf(index).textAt(index);
  }

  /** The cell of an index, brought into view; null outside the window. */
  reveal(index) {
    if (this.numberOf(index) < 0) return null;
    this.choose(this.choices.map((choice, axis) => (choice === null ? null : index[axis] - this.start[axis])));
    return this.sliceOf(index).cell(index);
  }

  /** Show the matrices at these choices, one an axis; null shows all along it. */
  choose(choices) {
    this.choices = choices;
    for (const slice of this.slices) {
      const chosen = choices.every((choice, axis) => choice === null || slice.lead[axis] - this.start[axis] === choice);
      slice.show(chosen);
    }
    this.controls?.forEach((update) => update());
    paint(this);
  }
}

class Slice {
  constructor(tensor, holder) {
    this.tensor = tensor;
    this.holder = holder;
    this.lead = holder.dataset.at ? holder.dataset.at.split(",").map(Number) : [];
    this.shown = true;
    if (holder.tagName === "TABLE") this.adopt(holder);
  }

  /** The texts of the matrix in row-major order. */
  get texts() {
    this.read ??= this.holder.querySelector("pre")
      ? this.holder.querySelector("pre").textContent.split(/\s+/)
      : this.cells.flat().map((cell) => cell.textContent);
    return this.read;
  }

  get columns() {
    return this.tensor.size[this.tensor.size.length - 1];
  }

  /** Row and column of an index inside the window. */
  placeOf(index) {
    const {start, drawn} = this.tensor;
    const last = index.length - 1;
    return [drawn === 2 ? index[last - 1] - start[last - 1] : 0, index[last] - start[last]];
  }

  textAt(index) {
    const [row, column] = this.placeOf(index);
    return this.texts[row * this.columns + column];
  }

  cell(index) {
    const [row, column] = this.placeOf(index);
    return this.cells?.[row][column];
  }

  show(shown) {
    if (shown && !this.cells) this.adopt(this.build());
    this.shown = shown;
    this.holder.hidden = !shown;
  }

  adopt(table) {
    table.setAttribute("role", "grid");
    table.setAttribute("aria-label", table.caption.textContent);
    this.cells = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));
    this.cells.flat().forEach((cell) => (cell.tabIndex = -1));
    this.cells[0][0].tabIndex = 0;
    owners.set(table, this);
    const {wrong} = this.tensor;
    if (!wrong) return;
    for (const cell of this.cells.flat()) if (this.tensor.numberOf(this.indexOf(cell)) in wrong) cell.classList.add("bad");
  }

  /** A table of the numbers that Python left as lines. */
  build() {
    const {start, size, drawn} = this.tensor;
    const [from, wide] = [start[start.length - 1], this.columns];
    const table = document.createElement("table");
    table.className = "matrix";
    table.createCaption().textContent = this.holder.querySelector("figcaption").textContent;
    const head = table.createTHead().insertRow();
    head.insertCell();
    for (let c = 0; c < wide; c++) head.append(heading("col", from + c));
    const body = table.createTBody();
    this.texts.forEach((text, k) => {
      if (k % wide === 0) {
        const row = body.insertRow();
        row.append(drawn === 2 ? heading("row", start.at(-2) + k / wide) : document.createElement("td"));
      }
      const cell = body.rows[body.rows.length - 1].insertCell();
      cell.textContent = text;
      cell.className = shadeOf(text, this.tensor.largest);
    });
    this.holder.replaceChildren(table);
    return table;
  }

  /** Where in the tensor a cell of this slice lies. */
  indexOf(cell) {
    const {start, drawn} = this.tensor;
    const column = cell.cellIndex - 1 + start[start.length - 1];
    return drawn === 2 ? [...this.lead, cell.parentNode.sectionRowIndex + start[start.length - 2], column] : [...this.lead, column];
  }
}

const owners = new Map(); // of each table the slice
const product = (sizes) => sizes.reduce((a, b) => a * b, 1);

function heading(scope, text) {
  const th = document.createElement("th");
  th.scope = scope;
  th.textContent = text;
  return th;
}

function shadeOf(text, largest) {
  const value = Number(text);
  if (!Number.isFinite(value)) return "odd";
  const step = largest ? Math.round((value / largest) * 10) || Math.sign(value) : 0;
  return `${step < 0 ? "n" : "p"}${Math.abs(step)}`;
}

/** Buttons or a slider for each leading axis that has several entries. */
function addControls(tensor) {
  const box = document.createElement("div");
  box.className = "axes";
  tensor.controls = tensor.leading.flatMap((size, axis) => {
    if (size === 1) return [];
    const make = size <= BUTTONS ? addButtons : addSlider;
    return [make(box, tensor, axis, size)];
  });
  if (tensor.controls.length) tensor.section.querySelector("h3").after(box);
}

function addButtons(box, tensor, axis, size) {
  const group = document.createElement("div");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `${tensor.axes[axis]} of ${tensor.letter}`);
  group.append(Object.assign(document.createElement("span"), {textContent: tensor.axes[axis]}));
  const choices = [...(tensor.together ? [null] : []), ...Array(size).keys()];
  const buttons = choices.map((choice) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = choice === null ? "all" : choice + tensor.start[axis];
    button.addEventListener("click", () => tensor.choose(tensor.choices.with(axis, choice)));
    group.append(button);
    return button;
  });
  box.append(group);
  return () => buttons.forEach((button, k) => {
    button.setAttribute("aria-pressed", String(choices[k] === tensor.choices[axis]));
    const here = (slice) => choices[k] === null || slice.lead[axis] - tensor.start[axis] === choices[k];
    button.classList.toggle("holds", choices[k] !== null && tensor.slices.some((slice) => here(slice) && isLit(slice)));
  });
}

function addSlider(box, tensor, axis, size) {
  const label = document.createElement("label");
  const number = document.createElement("output");
  const slider = Object.assign(document.createElement("input"), {type: "range", min: 0, max: size - 1, value: 0});
  slider.addEventListener("input", () => tensor.choose(tensor.choices.with(axis, Number(slider.value))));
  label.append(`${tensor.axes[axis]} `, slider, number);
  box.append(label);
  return () => {
    slider.value = tensor.choices[axis];
    number.textContent = tensor.choices[axis] + tensor.start[axis];
  };
}
