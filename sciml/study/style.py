"""How the page of a study looks."""

__all__ = ["CSS"]

CSS = """
:root { --paper: #ffffff; --ink: #1b1f24; --muted: #59636e; --grid: #d9dee3; --good: #1a6b3c; --bad: #b42318;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e6e9ec; --muted: #9aa4ae; --grid: #343b42; --good: #6cce94;
    --bad: #ff8f83; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0 0.75rem; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.25rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; }
.note, caption, figcaption, footer { color: var(--muted); font-size: 0.9rem; }
.bad { color: var(--bad); }
.failures { border-left: 3px solid var(--bad); padding: 0.1rem 0 0.1rem 1rem; margin-top: 1.5rem; }
.failures h2 { margin-top: 0.25rem; }
.scroll { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.25rem; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; text-align: left; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--muted); }
td { border-bottom: 1px solid var(--grid); }
.number { text-align: right; }
tr.best td { color: var(--good); font-weight: 600; }
tr.bad td { color: var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: 0; max-width: 36rem; }
svg.figure { display: block; width: 100%; height: auto; fill: var(--ink); }
details { margin-top: 2rem; }
summary { cursor: pointer; font-weight: 600; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--grid); }
"""
