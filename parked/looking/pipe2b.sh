cd /tmp/w; R=/work/main/recipes/omni-mini-r1-sft.toml
while pgrep -f pipe1.sh >/dev/null; do sleep 1; done
rm -rf P2b
./or train sft --recipe $R --out P2b model.path=P1/last train.steps=400 train.batch=32 train.batch_rows=4096 train.learning_rate=5e-4 'train.schedule="constant"' train.seed=1 'data=[{path="scrambled-media/wanted.jsonl"}]' evaluation.data=[] > P2b.log 2>&1
