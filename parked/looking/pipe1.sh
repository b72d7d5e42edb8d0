cd /tmp/w; R=/work/main/recipes/omni-mini-r1-sft.toml
rm -rf P1
./or train sft --recipe $R --out P1 model.path=V7 train.steps=250 train.batch=8 train.batch_rows=2048 train.learning_rate=5e-4 train.warmup_ratio=0.1 'train.schedule="constant"' train.seed=1 'data=[{path="scrambled-texts/pairs.jsonl"}]' evaluation.data=[] > P1.log 2>&1
