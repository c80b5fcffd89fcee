// What scrolls can be reached by keyboard: the theme wraps tables, and leaves that out.
new MutationObserver(() => {
  for (const it of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    it.tabIndex = 0;
  }
}).observe(document.body, { childList: true, subtree: true });
