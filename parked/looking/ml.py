import json,sys
for f in sys.argv[1:]:
    L=[json.loads(l) for l in open(f'/tmp/w/{f}/metrics.jsonl')]; L=[l for l in L if l.get('kind')=='step']
    print(f,[(l['step'],round(l['loss'],3)) for l in L][-16:], L[-1]['seconds'], L[-1]['rows']/L[-1]['step'])
