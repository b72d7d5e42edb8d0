import numpy as np, sys, shutil
from safetensors.numpy import load_file, save_file
dst,sig,up=sys.argv[1],float(sys.argv[2]),float(sys.argv[3])
shutil.copytree('start',dst)
w=load_file('start/model.safetensors'); rng=np.random.default_rng(1)
f=sig/.02
w['model.embed_tokens.weight']*=f
w['model.layers.0.self_attn.o_proj.weight'][:,:32]*=f
o=w['model.layers.1.self_attn.o_proj.weight']; o[:,:32]*=f; o[:,64:96]*=f
for L in (2,3):
    for k in w:
        if f'model.layers.{L}.' in k and k.endswith('proj.weight'):
            s=up/np.sqrt(w[k].shape[1])
            w[k]=(rng.standard_normal(w[k].shape)*s).astype(np.float32)
w['visual.patch_embed.proj.weight']*=4.3
save_file(w,dst+'/model.safetensors',metadata={'format':'pt'})
