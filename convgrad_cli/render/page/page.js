// Pointer, keyboard and buttons.

const readout = document.getElementById("readout");
const bubble = Object.assign(document.createElement("div"), {className: "bubble", hidden: true, ariaHidden: "true"});
document.body.append(bubble);
const tensors = Object.fromEntries(Object.entries(page.tensors).map(([name, known]) => [name, new Tensor(name, known)]));

/** The tensor and the index of a cell of a grid, or null. */
function whereIs(target) {
  const cell = target.closest?.("td[tabindex]");
  const slice = cell && owners.get(cell.closest("table"));
  if (!slice) return null;
  return {tensor: slice.tensor, index: slice.indexOf(cell), slice, cell};
}

function pin(here) {
  point(here.tensor, here.index);
  pinned = true;
  document.body.classList.add("pinned");
}

function unpin() {
  pinned = false;
  document.body.classList.remove("pinned");
}

/** Where a key leads from a cell; null for other keys. */
function stepFrom({slice, cell}, event) {
  const [row, column] = [cell.parentNode.sectionRowIndex, cell.cellIndex - 1];
  const [rows, columns] = [slice.cells.length, slice.cells[0].length];
  const all = event.ctrlKey || event.metaKey;
  const to = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    Home: [all ? 0 : row, 0],
    End: [all ? rows - 1 : row, columns - 1],
  }[event.key];
  return to ? slice.cells[to[0]]?.[to[1]] ?? cell : null;
}

function addEvents(stage) {
  stage.addEventListener("pointerover", (event) => {
    const here = whereIs(event.target);
    if (here && !pinned) point(here.tensor, here.index);
  });
  stage.addEventListener("focusin", (event) => {
    const here = whereIs(event.target);
    if (!here) return;
    here.slice.cells.flat().forEach((cell) => (cell.tabIndex = cell === here.cell ? 0 : -1));
    if (!pinned) point(here.tensor, here.index);
  });
  stage.addEventListener("click", (event) => {
    const here = whereIs(event.target);
    if (!here) return;
    here.cell.focus({preventScroll: true});
    pin(here);
  });
  stage.addEventListener("keydown", (event) => {
    const here = whereIs(event.target);
    if (!here) return;
    const next = stepFrom(here, event);
    if (next) next.focus();
    else if (event.key === "Enter" || event.key === " ") pin(here);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    walk.stop();
    release();
  });
}

let walk;
document.body.classList.add("live");
if (readout) {
  for (const tensor of Object.values(tensors)) {
    tensor.largest = Math.max(0, ...tensor.slices.flatMap((slice) => slice.texts.map((text) => Math.abs(Number(text)))).filter(Number.isFinite));
    addControls(tensor);
    tensor.choose(tensor.choices);
  }
  // Beside what is gathered, g: where each entry of it is scattered to.
  const explained = Object.values(tensors).some((tensor) => tensor.formulas);
  const walked = Object.values(tensors).filter((tensor) => tensor.formulas);
  if (explained && tensors.grad_output) walked.push(tensors.grad_output);
  const holder = document.getElementById("walk");
  walk = new Walk(holder, walked);
  holder.hidden = !walked.length;
  addEvents(document.getElementById("stage"));
  if (page.worked) point(tensors[page.worked[0]], page.worked[1]);
}
