import numpy as np, json, glob, sys
from PIL import Image
def basis(n=14):
    k=np.arange(n)[:,None]; x=np.arange(n)[None]
    B=np.cos(np.pi*(x+.5)*k/n); B/=np.linalg.norm(B,axis=1,keepdims=True); return B
B=basis()
mean=np.array([0.48145466,0.4578275,0.40821073]); std=np.array([0.26862954,0.26130258,0.27577711])
C=np.array([[1,1,1],[1,-1,0],[1,1,-2]],float); C/=np.linalg.norm(C,axis=1,keepdims=True)
def stats(files):
    P=[]
    for f in files:
        im=Image.open(f).convert('RGB'); 
        im=im.resize((112,112),Image.BICUBIC)
        a=(np.asarray(im)/255.-mean)/std
        P.append(a.reshape(8,14,8,14,3).transpose(0,2,4,1,3).reshape(64,3,14,14))
    P=np.concatenate(P)
    R=np.einsum('pchw,kc,uh,vw->pkuv',P,C,B,B)
    return R
if __name__=='__main__':
    files=sorted(glob.glob('/tmp/w/scrambled-media/media/synth/scrambled-TI2T-*.png'))[:400]
    print(Image.open(files[0]).size)
    R=stats(files); S=R.std(0)
    for k in range(3): print(np.round(S[k,:7,:7],2))
