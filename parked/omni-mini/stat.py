import json,sys
for n in sys.argv[1:]:
    rows=[json.loads(l) for l in open(f"{n}/metrics.jsonl")]
    w=[(r["step"],round(r.get("words_loss") or 0,3),round(r["accuracy"],2),round(r["loss"],3)) for r in rows if r["kind"]=="step"]
    s=[r for r in rows if r["kind"]=="step"][-1]
    print(n,s["step"],round(s["seconds"]),"s",round(s["step"]/s["seconds"],2),"steps/s", w[::max(1,len(w)//10)], w[-1])
    for r in rows:
        if r["kind"]!="step": print(r["step"],r["name"],round(r["overall"]["accuracy"],3) if "accuracy" in r["overall"] else r["overall"], {t["task"]:t.get("accuracy",t.get("agreement")) for t in r["tasks"]})
