cd /tmp/w; n=$1; m=$2; shift 2; rm -rf $n; ./or train sft --recipe /work/main/recipes/omni-mini-r1-sft.toml --out $n model.path=$m train.steps=120 'train.schedule="constant"' train.seed=1 train.log_every=20 'data=[{path="scrambled-media/one.jsonl"}]' evaluation.data=[] "$@" > $n.log 2>&1
python3 -c "
import json,sys
L=[json.loads(l) for l in open('/tmp/w/$n/metrics.jsonl')]
print('$n',[round(l.get('loss',0),3) for l in L], L[-1]['seconds'])"
