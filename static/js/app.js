// Small comforts for pages that work without them. Nothing here decides anything: the server checks all of it again.
"use strict";

(() => {
  // An error summary takes the focus, so that a keyboard or a screen reader starts there.
  document.querySelector("[data-focus]")?.focus();

  // A form is sent once. The pressed button keeps its name and value: it is disabled after the browser has read them.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
  });

  // Coming back with the back button makes the form usable again.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  });

  // "16 of 4,000 characters" under a text with a limit.
  for (const counter of document.querySelectorAll("[data-counter]")) {
    const control = document.getElementById(counter.dataset.counter);
    if (!control) continue;
    const max = Number(counter.dataset.max);
    const count = () => {
      counter.textContent = `${control.value.length.toLocaleString("en-US")} of ${max.toLocaleString("en-US")} characters`;
    };
    control.addEventListener("input", count);
    count();
    counter.hidden = false;
  }

  // Rounded up like the server does it, so that a file over the limit never reads as the limit itself.
  const fileSize = (bytes) => {
    if (bytes <= 1023 * 1024) return `${Math.ceil(bytes / 1024)} KB`;
    return `${Math.ceil((bytes * 10) / 1024 / 1024) / 10} MB`;
  };

  const fileProblem = (input) => {
    const files = [...input.files];
    const maxBytes = Number(input.dataset.maxBytes);
    const maxFiles = Number(input.dataset.maxFiles);
    const tooLarge = maxBytes && files.find((file) => file.size > maxBytes);
    if (tooLarge) {
      return `“${tooLarge.name}” is ${fileSize(tooLarge.size)}. Choose a file smaller than ${fileSize(maxBytes)}.`;
    }
    if (maxFiles && files.length > maxFiles) {
      return `You chose ${files.length} files. Choose ${maxFiles} or fewer.`;
    }
    return "";
  };

  // The names of chosen files, and what is wrong with them, before anything is sent.
  for (const input of document.querySelectorAll(".drop input[type=file]")) {
    const chosen = input.closest(".drop").querySelector("[data-chosen]");
    const problem = input.closest(".field")?.querySelector("[data-file-problem]");
    input.addEventListener("change", () => {
      const files = [...input.files];
      const said = fileProblem(input);
      if (chosen) {
        chosen.textContent = files.length
          ? `${files.length} ${files.length === 1 ? "file" : "files"} chosen: ${files.map((file) => file.name).join(", ")}`
          : "";
      }
      if (problem) problem.textContent = said;
      input.setCustomValidity(said);
      input.setAttribute("aria-invalid", said ? "true" : "false");
    });
  }

  // A menu made of <details> closes on Escape and when something else is used.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.account[open], details.side__menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.account[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
})();
