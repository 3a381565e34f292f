"""Form of the report's page: style, script, frame. Nothing is loaded from anywhere."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ink:#1c2530;--soft:#5c6b73;--line:#dfe4e8;--page:#fff}
*{box-sizing:border-box}
body{margin:0;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--page)}
header,section{max-width:1100px;margin:0 auto;padding:0 16px}
header{padding-top:20px}
h1{font-size:24px;margin:0 0 6px}h2{font-size:19px;margin:34px 0 8px;border-bottom:1px solid var(--line)}
h3{font-size:15px;margin:18px 0 4px}
nav{display:flex;flex-wrap:wrap;gap:4px 14px}nav a{color:#3b6fb6}
.wide{overflow-x:auto;max-height:75vh;overflow-y:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
#assets{width:100%}
th,td{padding:3px 7px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
tbody th,.symbol,.name,.class{text-align:left}td.name{max-width:260px;overflow:hidden;text-overflow:ellipsis}
thead th{position:sticky;top:0;background:#f3f5f7;z-index:1}
thead button{all:unset;cursor:pointer;font-weight:600}
thead button:focus-visible{outline:2px solid #3b6fb6}
th[aria-sort=ascending] button:after{content:" \\25B2"}
th[aria-sort=descending] button:after{content:" \\25BC"}
.plain td,.plain th{white-space:normal}.plain tbody th{font-weight:500}
.up{color:#a8432d}.down{color:#2f5c9a}.same{color:var(--soft)}
.good{color:#2f7a48;font-weight:600}.bad{color:#a8432d;font-weight:600}
.tools{display:flex;gap:14px;align-items:center;flex-wrap:wrap}input{font:inherit;padding:4px 8px}
pre{background:#f3f5f7;padding:12px;overflow-x:auto;font-size:12.5px}
.figure{margin:10px 0}
h4{font-size:14px;margin:14px 0 4px}.lines{font-size:16px;padding-left:22px}.lines li{margin:5px 0}
.strips{width:100%}.strips td,.strips th{padding:1px 6px}.strip{width:70%;min-width:180px}
.strip svg{width:100%;height:18px;display:block}
.b1{fill:#d7e2f0}.b2{fill:#9dbbdc}.b3{fill:#3b6fb6}.mid{fill:#a8432d}.zero{fill:#888}
footer{max-width:1100px;margin:30px auto;padding:0 16px;color:var(--soft);font-size:13px}
@media (max-width:640px){body{font-size:14px}.lines{font-size:15px}.strip{min-width:120px}
.name,.class{display:none}
th,td{padding:3px 5px}h1{font-size:20px}}
@media print{nav,.tools{display:none}.wide{overflow:visible;max-height:none}thead th{position:static}
section{break-inside:auto}#s0{break-after:page}h2,h3,h4{break-after:avoid}a{color:inherit;text-decoration:none}
body{font-size:11px}.plain,#assets,.strips{font-size:9.5px}.lines{font-size:12.5px}tr,.figure{break-inside:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

SCRIPT: Final = """
(function(){
  const table=document.getElementById('assets'),body=table.tBodies[0],heads=[...table.tHead.rows[0].cells];
  const rows=[...body.rows],search=document.getElementById('search'),shown=document.getElementById('shown');
  const value=function(row,k){const c=row.cells[k];
    return c.dataset.v===undefined?c.textContent:parseFloat(c.dataset.v)};
  heads.forEach(function(head,k){head.firstElementChild.addEventListener('click',function(){
    const numeric=typeof value(rows[0],k)==='number';
    const now=head.getAttribute('aria-sort');
    const up=now===null?!numeric:now==='descending';
    heads.forEach(function(h){h.removeAttribute('aria-sort')});
    head.setAttribute('aria-sort',up?'ascending':'descending');
    rows.sort(function(a,b){const x=value(a,k),y=value(b,k);
      const d=numeric?x-y:x.localeCompare(y);return up?d:-d});
    rows.forEach(function(r){body.appendChild(r)});
  })});
  search.addEventListener('input',function(){
    const wanted=search.value.trim().toLowerCase();let n=0;
    rows.forEach(function(r){
      const text=[0,1,2].map(function(k){return r.cells[k].textContent}).join(' ').toLowerCase();
      const hit=text.includes(wanted);r.hidden=!hit;if(hit)n+=1});
    shown.textContent=n+' of '+rows.length;
  });
})();
"""

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style><script>{plotly}</script></head>
<body><header><h1>{title}</h1><nav>{links}</nav></header>
<main>{body}</main>
<footer>Made by bdfm. Probabilities are those of a model; nothing here is investment advice.</footer>
<script>{script}</script></body></html>
"""
