// Keys, autosave and the timer of the rating page. Without it the page is a plain form.
"use strict";
(() => {
  const form = document.getElementById("rating");
  const saved = document.getElementById("saved");
  const timer = document.getElementById("timer");
  const sets = [...form.querySelectorAll("fieldset[data-dimension]")];
  const seconds = form.elements.seconds;
  const before = Number(seconds.dataset.before);
  const sitting = Number(timer.dataset.sitting) - before;
  let active = 0, paused = false, touched = Date.now(), now = 0;
  let sending = Promise.resolve(), pending = 0, left = false;
  const history = [];

  const say = (text, failed = false) => {
    saved.textContent = text;
    saved.classList.toggle("failed", failed);
  };
  const chosen = (set) => set.querySelector("input:checked");
  const needed = (set) => !chosen(set) && !("optional" in set.dataset);
  const complete = () => !sets.some(needed);
  const mark = (index) => {
    now = Math.max(0, Math.min(sets.length - 1, index));
    sets.forEach((set, place) => set.classList.toggle("now", place === now));
  };
  const show = (index) => {
    mark(index);
    sets[now].scrollIntoView({ block: "nearest" });
  };
  // What is tabbed to or clicked is what the next digit answers.
  sets.forEach((set, place) => set.addEventListener("focusin", () => mark(place)));

  // A second counts while the page is seen and somebody has moved in the last minute.
  const tick = () => {
    const word = paused ? ", paused" : sitting + before + active > timer.dataset.soft ? ", time for a pause soon" : "";
    timer.textContent = `${Math.round((sitting + before + active) / 60)} min${word}`;
  };
  const button = document.getElementById("pause");
  const pause = (on) => {
    paused = on;
    button.setAttribute("aria-pressed", String(on));
    button.firstChild.data = on ? "Go on " : "Pause ";
    tick();
  };
  setInterval(() => {
    const idle = Date.now() - touched > 60000;
    if (!paused && !document.hidden && !idle) active += 1;
    tick();
    seconds.value = before + active;
  }, 1000);
  for (const kind of ["keydown", "pointermove", "pointerdown", "wheel"])
    addEventListener(kind, () => { touched = Date.now(); }, { passive: true });

  const post = async (action) => {
    seconds.value = before + active;
    const body = new URLSearchParams(new FormData(form));
    body.set("action", action);
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST", body, headers: { Accept: "application/json" }, keepalive: true,
    });
    const said = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(said.error || said.detail), { final: true });
    form.elements.revision.value = said.revision;
    return said;
  };
  // One save at a time, tried again until the server has it or says why not.
  const send = (action) => {
    sending = sending.then(async () => {
      for (let wait = 300; ; wait = Math.min(wait * 2, 5000)) {
        try {
          return await post(action);
        } catch (error) {
          say(error.final ? error.message : "not saved, trying again", true);
          if (error.final) return null;
          await new Promise((done) => setTimeout(done, wait));
        }
      }
    });
    return sending;
  };
  const draft = () => {
    if (paused) pause(false); // who writes is at work again
    say("saving");
    clearTimeout(pending);
    pending = setTimeout(async () => {
      pending = 0;
      const said = await send("draft");
      if (said) say(said.notice || (said.state === "draft" ? "kept" : said.state));
    }, 250);
  };
  const finish = async (action) => {
    if (left) return;
    left = true;
    clearTimeout(pending);
    pending = 0;
    say("saving");
    const said = await send(action);
    if (!said) { left = false; return; }
    say(said.state); // nothing is left to be warned about
    location.assign(said.next);
  };

  // What is missing is said after the save that is under way, which would speak over it.
  const point = async (index) => {
    show(index);
    if (pending) { clearTimeout(pending); pending = 0; send("draft"); }
    await sending;
    if (!saved.classList.contains("failed")) say(`${sets[index].dataset.dimension}: no score yet`);
  };

  // A step back first keeps what is under way.
  document.getElementById("previous")?.addEventListener("click", async (event) => {
    event.preventDefault();
    const href = event.currentTarget.href;
    if (pending) { clearTimeout(pending); pending = 0; if (!await send("draft")) return; }
    location.assign(href);
  });
  form.addEventListener("input", draft);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const action = event.submitter ? event.submitter.value : "submit";
    if (action === "draft") draft(); else finish(action);
  });
  addEventListener("beforeunload", (event) => { if (pending || saved.classList.contains("failed")) event.preventDefault(); });

  const score = (value) => {
    const input = sets[now].querySelector(`input[value="${value}"]`);
    history.push([now, chosen(sets[now])]);
    input.checked = true;
    show(now + 1);
    draft();
  };
  const undo = () => {
    const last = history.pop();
    if (!last) return;
    const [index, input] = last;
    if (input) input.checked = true;
    else if (chosen(sets[index])) chosen(sets[index]).checked = false;
    show(index);
    draft();
  };
  const keys = {
    ArrowUp: () => show(now - 1),
    ArrowDown: () => show(now + 1),
    ArrowLeft: () => document.getElementById("previous")?.click(),
    Enter: () => {
      if (complete()) finish("submit"); else point(sets.findIndex(needed));
    },
    s: () => document.getElementById("reason").focus(),
    f: () => form.querySelector(".flags input").focus(),
    c: () => form.elements.comment.focus(),
    u: undo,
    p: () => pause(!paused),
    "?": () => {
      const help = document.getElementById("help");
      help.open = !help.open;
      help.scrollIntoView({ block: "nearest" });
    },
  };
  // Keys for hands that have none: these two need the script, and autosave needs no button.
  for (const [id, act] of [["pause", keys.p], ["undo", undo]]) {
    const element = document.getElementById(id);
    element.hidden = false;
    element.addEventListener("click", () => act());
  }
  document.getElementById("draft").hidden = true;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target;
    if (event.key === "Escape") { target.blur(); return; }
    if (target.closest("textarea, select") || event.key === " ") return;
    if (event.key === "Enter" && target.closest("summary, a, button")) return;
    if (event.key === "ArrowLeft" && target.matches("input[type=radio]")) return; // moves in its group
    const act = /^[0-5]$/.test(event.key) ? () => score(event.key) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.repeat) return;
    event.preventDefault();
    act();
  });
  const first = sets.findIndex((set) => !chosen(set));
  show(first < 0 ? 0 : first);
})();
