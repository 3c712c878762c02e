// Small comforts for pages that work without them. Nothing here decides anything: the server checks all of it again.
// Parts of a page may be exchanged while it is open, so listeners are on the document.
"use strict";

(() => {
  const on = (name, listener) => document.addEventListener(name, listener);
  const say = (words) => {
    const said = document.getElementById("said");
    if (said) said.textContent = words;
  };

  // The texts come with the page, in its language; what stands in braces is filled in here.
  const texts = document.getElementById("texts")?.dataset ?? {};
  const text = (name, values = {}) => (texts[name] ?? "").replace(/\{(\w+)\}/g, (_, key) => values[key]);
  const number = (value) => value.toLocaleString(document.documentElement.lang);

  // An error summary takes the focus, so that a keyboard or a screen reader starts there.
  document.querySelector("[data-focus]")?.focus();

  // A form is sent once, by htmx or by the browser. The pressed button keeps its name and value: it is disabled after
  // they have been read.
  let pressed = null;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    form.dataset.sent = "yes";
    pressed = event.submitter;
    pressed?.setAttribute("aria-busy", "true");
  }, true);
  const mayBeSentAgain = (form) => {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  };

  // What is answered to a form that htmx sent is its own part of the page, with what is to be fixed, or the page to go
  // on to. Anything else (a login, a page of its own) the browser fetches as it would have without scripts.
  const isSent = (element) => element.matches?.("form[data-once][hx-post]");
  const sendPlainly = (form) => {
    if (pressed?.name) {
      const chosen = document.createElement("input");
      Object.assign(chosen, { type: "hidden", name: pressed.name, value: pressed.value });
      form.append(chosen);
    }
    if (pressed?.hasAttribute("formaction")) form.action = pressed.formAction;
    form.submit();
  };
  const notSent = (form) => {
    mayBeSentAgain(form);
    const text = form.dataset.notSent;
    const told = form.querySelector("[data-draft]");
    if (told) told.textContent = text;
    say(text);
  };
  let answered = null;
  on("htmx:beforeSwap", (event) => {
    const { target, xhr, requestConfig } = event.detail;
    const form = requestConfig.elt;
    if (!isSent(form) || xhr.status === 204) return;
    const isItsPart = xhr.status < 500 && xhr.responseText.includes(`id="${target.id}"`);
    event.detail.shouldSwap = isItsPart;
    event.detail.isError = false;
    if (isItsPart) answered = form.getAttribute("action") ?? "";
    else if (xhr.status < 500) sendPlainly(form);
    else notSent(form);
  });
  on("htmx:sendError", (event) => {
    if (isSent(event.target)) notSent(event.target);
  });
  const showAnswer = () => {
    const form = [...document.querySelectorAll("form[data-once][hx-post]")].find(
      (one) => (one.getAttribute("action") ?? "") === answered,
    );
    const first = [...(form?.querySelectorAll("textarea") ?? [])].find((text) => text.offsetParent);
    (document.querySelector("#main [data-focus], #case [data-focus]") ?? first)?.focus();
    answered = null;
  };

  // Ctrl+Enter (⌘+Enter) sends the form that is being written in, by the last of its buttons that is seen.
  on("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    const form = event.target.form;
    if (!form?.matches("form[data-once]")) return;
    const seen = [...form.querySelectorAll("button[type=submit]:not([aria-hidden])")].filter((one) => one.offsetParent);
    if (!seen.length) return;
    event.preventDefault();
    seen.at(-1).click();
  });

  // Coming back with the back button makes the form usable again.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) mayBeSentAgain(form);
  });

  // "16 of 4,000 characters" under a text with a limit.
  const count = (counter) => {
    const control = document.getElementById(counter.dataset.counter);
    if (!control) return;
    const max = Number(counter.dataset.max);
    counter.textContent = text("count", { written: number(control.value.length), most: number(max) });
    counter.hidden = false;
  };
  const countAll = () => document.querySelectorAll("[data-counter]").forEach(count);
  on("input", (event) => {
    const counter = event.target.id && document.querySelector(`[data-counter="${event.target.id}"]`);
    if (counter) count(counter);
  });
  countAll();

  // ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────

  // Rounded up like the server does it, so that a file over the limit never reads as the limit itself.
  const fileSize = (bytes) => {
    if (bytes <= 1023 * 1024) return text("kb", { size: Math.ceil(bytes / 1024) });
    return text("mb", { size: number(Math.ceil((bytes * 10) / 1024 / 1024) / 10) });
  };

  const fileProblem = (input) => {
    const files = [...input.files];
    const maxBytes = Number(input.dataset.maxBytes);
    const maxFiles = Number(input.dataset.maxFiles);
    const tooLarge = maxBytes && files.find((file) => file.size > maxBytes);
    if (tooLarge) {
      return text("tooLarge", { name: tooLarge.name, size: fileSize(tooLarge.size), most: fileSize(maxBytes) });
    }
    if (input.dataset.maxFiles && files.length > maxFiles) {
      return text(maxFiles ? "tooMany" : "noMore", { chosen: files.length, most: maxFiles });
    }
    return "";
  };

  const isFiles = (element) => element.matches?.(".drop input[type=file]");
  const partOf = (input, selector) => input.closest(".field").querySelector(selector);
  const tellProblem = (input, words) => {
    partOf(input, "[data-file-problem]").textContent = words;
    input.setCustomValidity(words);
    input.setAttribute("aria-invalid", words ? "true" : "false");
  };

  // The names of chosen files, and what is wrong with them, before anything is sent.
  on("change", (event) => {
    const input = event.target;
    if (!isFiles(input)) return;
    const names = [...input.files].map((file) => file.name);
    partOf(input, "[data-chosen]").textContent = names.length
      ? text(names.length === 1 ? "chosenOne" : "chosen", { files: names.length, names: names.join(", ") })
      : "";
    tellProblem(input, fileProblem(input));
  });

  const setBusy = (input, busy) => {
    input.closest(".drop").toggleAttribute("data-busy", busy);
    const bar = partOf(input, "progress");
    bar.hidden = !busy;
    bar.value = 0;
  };

  // Files go up when they are chosen. Until they are there, and when that fails, the form itself still holds them.
  on("htmx:beforeRequest", (event) => {
    const input = event.target;
    if (!isFiles(input)) return;
    if (!input.files.length || fileProblem(input)) {
      event.preventDefault();
      return;
    }
    setBusy(input, true);
    const many = input.files.length;
    partOf(input, "[data-chosen]").textContent = text(many === 1 ? "uploadingOne" : "uploading", { files: many });
  });
  on("htmx:xhr:progress", (event) => {
    if (isFiles(event.target) && event.detail.lengthComputable) {
      partOf(event.target, "progress").value = event.detail.loaded / event.detail.total;
    }
  });
  const uploadFailed = (input, words) => {
    if (!isFiles(input)) return;
    setBusy(input, false);
    partOf(input, "[data-chosen]").textContent = words;
    say(words);
  };
  for (const failure of ["htmx:sendError", "htmx:responseError"]) {
    on(failure, (event) => uploadFailed(event.target, text("failed")));
  }
  on("said", (event) => say(event.detail.text));

  // ── Drafts ───────────────────────────────────────────────────────────────────────────────────────────────────────

  // Whoever turns to another window has their text kept at once.
  const typedIn = new WeakSet();
  on("input", (event) => {
    const draft = event.target.form?.querySelector("[data-draft]");
    if (draft) typedIn.add(draft);
  });
  on("htmx:afterRequest", (event) => {
    if (event.target.matches?.("[data-draft]") && event.detail.successful) typedIn.delete(event.target);
  });
  on("visibilitychange", () => {
    if (!window.htmx) return;
    if (document.hidden) {
      for (const draft of document.querySelectorAll("[data-draft]")) {
        if (typedIn.has(draft)) window.htmx.trigger(draft, "flush");
      }
    } else {
      for (const live of document.querySelectorAll("[data-live]")) window.htmx.trigger(live, "look");
    }
  });

  // ── News of a case ───────────────────────────────────────────────────────────────────────────────────────────────

  // A page that nobody looks at asks for nothing.
  on("htmx:beforeRequest", (event) => {
    if (event.target.matches?.("[data-live]") && document.hidden) event.preventDefault();
  });

  // Who is logged out is told so; what they have typed and chosen is not exchanged for that.
  on("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    const news = document.getElementById("news");
    if (xhr.status !== 401 || target === news || target.matches("[data-draft]")) return;
    if (isSent(event.detail.requestConfig.elt)) return;
    event.detail.shouldSwap = false;
    uploadFailed(event.detail.requestConfig.elt, text("loggedOut"));
    if (news) news.innerHTML = xhr.responseText;
  });

  // A reader who asked for what is new starts at the first of it; one who asked for more stays where they are.
  let lastSeen = "";
  const entries = () => [...document.querySelectorAll("ol.timeline > li[id^=revt_]")];
  const focusOn = (element, options) => {
    if (!element) return;
    if (!element.matches("a, button, input, textarea")) element.tabIndex = -1;
    element.focus(options);
  };
  on("htmx:beforeSwap", (event) => {
    if (!event.detail.shouldSwap) return;
    if (event.detail.target.id === "case" && answered === null) lastSeen = entries().at(-1)?.id ?? "";
    if (event.detail.target.matches("[data-earlier]")) {
      const next = event.detail.target.nextElementSibling;
      const top = next?.getBoundingClientRect().top;
      setTimeout(() => {
        if (!next) return;
        focusOn(next.previousElementSibling, { preventScroll: true });
        window.scrollBy(0, next.getBoundingClientRect().top - top);
      });
    }
  });
  on("htmx:afterSettle", (event) => {
    countAll();
    if (answered !== null) {
      showAnswer();
      return;
    }
    if (event.detail.target.id !== "case" || !lastSeen) return;
    const all = entries();
    const first = all[all.findIndex((entry) => entry.id === lastSeen) + 1];
    focusOn(first ?? document.getElementById("now"));
    lastSeen = "";
  });
  // What held the focus was exchanged: the files' own button takes it on.
  on("htmx:load", (event) => {
    const files = event.target.matches(".field") && event.target.querySelector(".drop input[type=file]");
    if (files && document.activeElement === document.body) files.focus({ preventScroll: true });
  });

  // ── Menus ────────────────────────────────────────────────────────────────────────────────────────────────────────

  // A menu made of <details> closes on Escape and when something else is used.
  on("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.account[open], details.side__menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  on("click", (event) => {
    for (const menu of document.querySelectorAll("details.account[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
})();
