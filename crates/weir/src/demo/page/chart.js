// Draws the gap before each word as a bar, with a dashed line at the pace asked for.

const FIT = 90;

/** @param {HTMLElement} place */
export function chart(place) {
  let pace = 120;
  let gaps = [];
  let top = 0;

  function scale() {
    const wanted = Math.max(pace * 1.25, ...gaps) * 1.08;
    // Grows when it must and never shrinks during a run, so that bars do not jump.
    if (wanted <= top) return false;
    top = wanted;
    return true;
  }

  function bar(gap, index) {
    const made = document.createElement("i");
    made.dataset.word = index;
    made.title = `word ${index + 1}: ${gap.toFixed(1)} ms`;
    // More than half a pace late is a gap that a person can see.
    if (gap > pace * 1.5 + 8) made.className = "late";
    made.style.height = `${(gap / top) * 100}%`;
    return made;
  }

  function draw() {
    const line = document.createElement("hr");
    line.style.bottom = `${(pace / top) * 100}%`;
    line.dataset.says = `${pace} ms`;
    place.replaceChildren(line, ...gaps.map(bar));
    place.style.setProperty("--bars", Math.max(FIT, gaps.length));
  }

  return {
    /** Empties the chart for a run at `asked` milliseconds a word. */
    begin(asked) {
      [pace, gaps, top] = [asked, [], 0];
      scale();
      draw();
    },
    /** The next word came `gap` milliseconds after the one before. */
    add(gap) {
      gaps.push(gap);
      if (scale() || gaps.length > FIT) draw();
      else place.append(bar(gap, gaps.length - 1));
    },
    /** Marks one word's bar, or none. */
    mark(index) {
      place.querySelector(".marked")?.classList.remove("marked");
      place.querySelector(`[data-word="${index}"]`)?.classList.add("marked");
    },
    gaps: () => gaps,
  };
}
