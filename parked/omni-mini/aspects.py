import json, sqlite3, sys, collections
pairs={}
for l in open("test/pairs.jsonl"):
    p=json.loads(l); pairs[p["id"]]=p
db=sqlite3.connect(sys.argv[1]+"/verdicts.sqlite")
rows=[json.loads(r[0]) for r in db.execute("select record from verdicts")]
keys=rows[0].keys()
acc=collections.defaultdict(lambda:[0,0])
for r in rows:
    if "ithout" not in json.dumps(r.get("setting","")): continue
    pid=r.get("pair") or r.get("pair_id") or r.get("id")
    p=pairs[pid] if isinstance(pid,str) else None
    if p is None: print(r); break
    lab=p["label"]; 
    if lab=="tie": continue
    pref=r.get("preference") or (r.get("verdict") or {}).get("preference")
    ok=pref==lab
    for k in [(p["task"],p["aspect"])]:
        acc[k][0]+=ok; acc[k][1]+=1
tasks=sorted({k[0] for k in acc})
for t in tasks:
    print(t, " ".join(f"{a}:{100*v[0]//v[1]}({v[1]})" for (tt,a),v in sorted(acc.items()) if tt==t))
