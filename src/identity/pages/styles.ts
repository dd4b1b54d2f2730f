/** The look of all pages; `theme.ts` puts the colours of the service before it. */
export const styles = `
:root{color-scheme:light dark;--ground:#f3f5f8;--card:#fff;--ink:#1a2029;--soft:#55606f;--line:#c3cad4;--edge:#e2e6ec;
--bad:#a3202b;--bad-ground:#fdecee;--good:#1c6b3f;--good-ground:#e8f6ee;--field:#fff;--shadow:0 1px 2px #1a202914,0 12px 32px #1a20291f}
@media(prefers-color-scheme:dark){:root{--ground:#12151a;--card:#1b1f26;--ink:#e9edf2;--soft:#a5b0bf;--line:#5a6676;--edge:#2c323c;
--bad:#ff9aa3;--bad-ground:#3a1b20;--good:#8fdcb0;--good-ground:#16301f;--field:#14181e;--shadow:0 1px 2px #0006,0 12px 32px #0008}}
*,*::before,*::after{box-sizing:border-box}
[hidden]{display:none!important}
html{font:100%/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100dvh;display:flex;flex-direction:column;align-items:center;background:var(--ground);color:var(--ink);padding:1rem}
.brand{display:flex;align-items:center;gap:.6rem;margin:6vh 0 1.25rem;font-weight:650;font-size:1.05rem;overflow-wrap:anywhere}
.brand img{display:block;height:2.5rem;width:auto;max-width:10rem;object-fit:contain}
main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--edge);border-radius:14px;box-shadow:var(--shadow);padding:2rem}
main.wide{max-width:36rem}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 .35rem;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0 0 .5rem}
p{margin:.35rem 0 .9rem;overflow-wrap:anywhere}
.lead{color:var(--soft);margin-bottom:1.4rem}
.lead strong{color:var(--ink)}
.field small{display:block;margin-top:.4rem}
.hint,small{color:var(--soft);font-size:.875rem}
a{color:var(--accent);text-underline-offset:.15em}
form{margin:0}
label{display:block;font-weight:600;font-size:.925rem;margin:0 0 .3rem}
.field{margin:0 0 1.1rem}
input[type=text],input[type=password]{width:100%;font:inherit;color:inherit;background:var(--field);border:1px solid var(--line);border-radius:9px;padding:.65rem .75rem;min-height:2.9rem}
input[aria-invalid=true]{border-color:var(--bad)}
input.code{font:600 1.35rem/1.2 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;letter-spacing:.18em;text-align:center}
.check{display:flex;gap:.6rem;align-items:flex-start;margin:0 0 1.2rem}
.check input{width:1.15rem;height:1.15rem;margin:.15rem 0 0;accent-color:var(--accent);flex:none}
.check label{font-weight:400;margin:0}
button,.button{display:flex;width:100%;justify-content:center;align-items:center;gap:.5rem;font:inherit;font-weight:600;min-height:2.9rem;padding:.6rem 1rem;border-radius:9px;border:1px solid transparent;
background:var(--accent);color:var(--on-accent);cursor:pointer;text-decoration:none;text-align:center}
button:hover,.button:hover{filter:brightness(1.08)}
button.second{background:transparent;color:var(--ink);border-color:var(--line)}
button.second:hover{background:var(--ground);filter:none}
button.plain{background:none;border:none;color:var(--accent);text-decoration:underline;text-underline-offset:.15em;font-weight:400;min-height:2.5rem;padding:.4rem}
button.small{width:auto;min-height:2.25rem;padding:.3rem .8rem;font-size:.9rem;flex:none}
button:disabled{opacity:.6;cursor:progress}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.row{display:flex;gap:.75rem;margin-top:1.2rem}
.row>*{flex:1}
.or{display:flex;align-items:center;gap:.75rem;color:var(--soft);font-size:.875rem;margin:1.1rem 0}
.or::before,.or::after{content:"";flex:1;border-top:1px solid var(--edge)}
.message{border-radius:9px;padding:.7rem .9rem;margin:0 0 1.1rem;background:var(--bad-ground);color:var(--bad);font-weight:500}
.message.good{background:var(--good-ground);color:var(--good)}
form[data-passkey] [role=status]:empty{display:none}
form[data-passkey] [role=status]{margin:.6rem 0 0;color:var(--soft);font-size:.9rem}
ul.scopes{list-style:none;padding:0;margin:0 0 1.2rem;border:1px solid var(--edge);border-radius:10px}
ul.scopes li{padding:.7rem .9rem;border-top:1px solid var(--edge);overflow-wrap:anywhere}
ul.scopes li:first-child{border-top:0}
ul.scopes code{color:var(--soft);font-size:.8rem;display:block}
dl{margin:0 0 1.2rem;font-size:.925rem}
dt{color:var(--soft)}
dd{margin:0 0 .6rem;overflow-wrap:anywhere}
.qr{display:block;width:12.5rem;max-width:100%;margin:0 auto 1rem;background:#fff;padding:.5rem;border-radius:10px;border:1px solid var(--edge)}
.qr svg{display:block;width:100%;height:auto}
.secret,.user-code{display:block;text-align:center;font:600 1rem/1.6 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;letter-spacing:.06em;overflow-wrap:anywhere;background:var(--ground);border-radius:9px;padding:.6rem;margin:0 0 1rem}
.user-code{font-size:1.6rem;letter-spacing:.12em}
ol.codes{columns:1;list-style:none;padding:.8rem 1rem;margin:0 0 1.1rem;background:var(--ground);border-radius:10px;font:600 .95rem/1.9 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
section{border-top:1px solid var(--edge);margin-top:1.4rem;padding-top:1.4rem}
.item{display:flex;gap:1rem;align-items:center;justify-content:space-between;padding:.6rem 0}
.item p{margin:0}
.ways{list-style:none;margin:1.1rem 0 0;padding:0;text-align:center;line-height:1.5}
.ways a{display:inline-block;padding:.3rem}
.ways:empty{display:none}
footer{margin:1.4rem 0 1rem;color:var(--soft);font-size:.85rem;text-align:center;max-width:26rem}
@media(max-width:26rem){body{padding:0}.brand{margin:1.2rem 0 .8rem}main{border:0;border-radius:0;box-shadow:none;padding:1.4rem 1.1rem;flex:1}.row{flex-direction:column}}
@media(prefers-reduced-motion:no-preference){button{transition:filter .12s,background-color .12s}}
@media(forced-colors:active){button,main,.message{border:1px solid}}
@media print{body>*:not(main){display:none}button,form{display:none}}
`
