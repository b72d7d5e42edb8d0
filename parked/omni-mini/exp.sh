name=$1; model=$2; shift 2
P=/root/.cache/omnireward/target/release/omnireward
rm -rf exp/$name
RAYON_NUM_THREADS=${T:-1} $P train bt --recipe /work/main/recipes/omni-mini.toml --out exp/$name model.path=$model train.seed=42 train.learning_rate=1e-3 objective.language_modelling=0.9 'data=[{path="described-pictures/pairs.jsonl"}]' 'evaluation.data=[]' checkpoints.every=0 --quiet "$@" > exp/$name.log 2>&1
