import sqlite3,json,sys
c=sqlite3.connect(sys.argv[1]+'/verdicts.sqlite'); 
pairs={}
for l in open(sys.argv[2]):
    d=json.loads(l); pairs[d['id']]=d
i=0
for (p,sh,st,rec) in c.execute("select pair_id,shown,status,record from verdicts"):
    d=json.loads(rec); i+=1
    if i>int(sys.argv[3]): break
    if i==1: print(rec[:600])
    q=pairs[p]
    print('##',q['task'],q['criterion'],'|', sh, '|',[str(r)[:150] for r in q['responses']],'\n   WANT',q['label'],repr(q.get('answer')),'\n   GOT',st,repr(d.get('rationale') or d.get('reply') or d)[:260])
