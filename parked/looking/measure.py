"""Compares descriptions in replies with the answers: python measure.py RUN PAIRS [SHOW]"""
import sqlite3,json,sys,re,collections
c=sqlite3.connect(sys.argv[1]+'/verdicts.sqlite')
pairs={}
for l in open(sys.argv[2]):
    d=json.loads(l); pairs[d['id']]=d
show=int(sys.argv[3]) if len(sys.argv)>3 else 0
ok=collections.defaultdict(lambda:[0,0]); shown=collections.Counter()
cols=[r[1] for r in c.execute("pragma table_info(verdicts)")]
for (p,sh,st,rec) in c.execute("select pair_id,shown,status,record from verdicts"):
    d=json.loads(rec); q=pairs[p]
    raw=d.get('raw') or ''
    if isinstance(raw,list): raw=raw[0]
    want=q['answer']
    swapped = 'swap' in str(sh).lower() or str(sh).lower() in('b_a','ba','second','reversed')
    def parts(t):
        r={}
        for name,pat in (('Before',r'Before: ([^.]*)\.'),('Wanted',r'Wanted: ([^.]*)\.'),('A',r'A is ([^.]*)\. '),('B',r'B is ([^.]*)\.'),('fA',r' A: ([^.]*)\.'),('fB',r' B: ([^.]*)\.'),('concl',r'((?:Only|Both|Neither|They|[AB] is better)[^.]*)\.\s*\n\[\['),('verdict',r'(\[\[.\]\])')):
            m=re.search(pat,t.split('\n\n')[-1] if False else t)
            if m: r[name]=m.group(1)
        return r
    w=parts(want.split('\n\n',1)[-1]); g=parts(raw.split('\n\n',1)[-1])
    if swapped:
        for a,b in (('A','B'),('fA','fB')):
            if a in w and b in w: w[a],w[b]=w[b],w[a]
    for k,v in w.items():
        if k in('concl','verdict') and swapped: continue
        e=ok[(q['task'],k)]; e[1]+=1; e[0]+= g.get(k)==v
        if k in ('A','B','Wanted','Before'):
            ws=v.split(',')[0].split(); gs=g.get(k,'').split(',')[0].split()
            e=ok[(q['task'],k+'~words')]; e[1]+=len(ws); e[0]+=sum(x==y for x,y in zip(ws,gs))
    if '\n\n' in want:
        e=ok[(q['task'],'quotes')]; e[1]+=1
        if not swapped: e[0]+= want.split('\n\n')[0]==raw.split('\n\n')[0]
        else: e[1]-=1
    if shown[q['task']]<show:
        shown[q['task']]+=1; print('##',q['task'],sh,st,q['criterion'],'\n  WANT',repr(want[-300:]),'\n  GOT ',repr(raw[-300:]))
tasks=sorted({t for t,_ in ok}); keys=sorted({k for _,k in ok})
for t in tasks: print(t,' '.join(f"{k}={100*ok[t,k][0]/ok[t,k][1]:.0f}" for k in keys if ok[t,k][1]))
