cd /tmp/w; R=/work/main/recipes/omni-mini-r1-sft.toml
while pgrep -f pipe2b.sh >/dev/null; do sleep 1; done
./or train sft --recipe $R --out P3 model.path=P2b/last train.steps=2000 train.batch=16 train.batch_rows=4096 train.learning_rate=5e-4 'train.schedule="constant"' train.seed=1 'data=[{path="scrambled-media/described.jsonl"}]' evaluation.data=[] checkpoints.every=100 > P3.log 2>&1
