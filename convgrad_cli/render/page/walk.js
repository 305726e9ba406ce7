// A walk through all cells of one tensor, one after another: by itself, or step by step.

const calm = matchMedia("(prefers-reduced-motion: reduce)");

class Walk {
  constructor(holder, walked) {
    this.timer = null;
    this.number = -1;
    this.walked = walked;
    this.which = Object.assign(document.createElement("select"), {ariaLabel: "Walk through"});
    for (const tensor of walked) this.which.append(new Option(tensor.letter, tensor.name));
    this.play = this.button("Play", "▶", () => (this.timer ? this.stop() : this.start()));
    const back = this.button("Step back", "◀", () => this.step(-1));
    const on = this.button("Step", "▷", () => this.step(1));
    const speed = Object.assign(document.createElement("input"), {type: "range", min: 1, max: 8, value: 2, ariaLabel: "Cells per second"});
    this.delay = () => 1000 / Number(speed.value);
    this.which.addEventListener("change", () => {
      this.stop();
      this.number = -1;
    });
    const words = Object.assign(document.createElement("span"), {textContent: "Walk through"});
    const label = document.createElement("label");
    label.append("speed ", speed);
    holder.append(words, this.which, back, this.play, on, label);
  }

  button(label, sign, act) {
    const button = Object.assign(document.createElement("button"), {type: "button", textContent: sign, ariaLabel: label, title: label});
    button.addEventListener("click", act);
    return button;
  }

  get tensor() {
    return tensors[this.which.value];
  }

  get last() {
    return product(this.tensor.size) - 1;
  }

  /** Walk on by itself from where it stands; where motion is to be reduced, one step only. */
  start() {
    if (calm.matches) return this.step(1);
    if (this.number >= this.last) this.number = -1;
    this.label("Pause", "❚❚");
    this.tick();
  }

  tick() {
    this.move(1);
    if (this.number >= this.last) return this.stop();
    this.timer = setTimeout(() => this.tick(), this.delay());
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.label("Play", "▶");
  }

  step(by) {
    this.stop();
    this.move(by);
  }

  move(by) {
    this.number = Math.min(Math.max(this.number + by, 0), this.last);
    const index = this.tensor.indexOf(this.number);
    unpin();
    this.tensor.reveal(index);
    point(this.tensor, index);
  }

  label(label, sign) {
    Object.assign(this.play, {ariaLabel: label, title: label, textContent: sign});
  }
}
