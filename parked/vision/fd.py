import numpy as np, subprocess, json, shutil, os
from safetensors.numpy import load_file, save_file
base='ab6-S1/last'; w=load_file(base+'/model.safetensors'); o=load_file('gd-base/state-00000001/optimiser.safetensors')
if os.path.exists('fdm'): shutil.rmtree('fdm')
shutil.copytree(base,'fdm')
def loss(ww):
    save_file(ww,'fdm/model.safetensors',metadata={'format':'pt'}); subprocess.run(['bash','gd.sh','fd','fdm']); return json.loads(open('/tmp/w/gd-fd/metrics.jsonl').read().splitlines()[-1])['loss']
names=['visual.patch_embed.proj.weight','visual.blocks.0.attn.qkv.weight','visual.blocks.0.attn.proj.weight','visual.blocks.0.mlp.gate_proj.weight','visual.blocks.1.attn.qkv.weight','visual.blocks.2.mlp.down_proj.weight','visual.blocks.3.attn.qkv.weight','visual.merger.ln_q.weight','visual.merger.mlp.0.weight','visual.merger.mlp.2.weight','model.layers.2.self_attn.k_proj.weight','model.layers.2.self_attn.v_proj.weight','model.layers.3.mlp.up_proj.weight']
gn=0
for n in names:
    g=o['first_moment.'+n].astype(np.float64)*10; d=2e-4; G=np.linalg.norm(g)
    e=d/G; r=[]
    for s in (1,-1):
        ww=dict(w); ww[n]=(w[n]+s*e*g/G).astype(np.float32); r.append(loss(ww))
    print(f"{n:45s} |g|={G:.4f} predicted {2*d:.6f} seen {r[0]-r[1]:.6f}",flush=True)
