import json,sys,os,time,re
sys.argv_saved=sys.argv
from vit import *
from lm import DB,rope1
import tokenizers
from safetensors.torch import load_file
W='/tmp/w/'; torch.manual_seed(0)
def main(name,model='PL',steps=160,bs=32,lr=1e-3,win=True,ours=True,A=False,fix='',seed=0,vs=.088,pe=.125):
    tk=tokenizers.Tokenizer.from_file(W+model+'/tokenizer.json'); w=load_file(W+model+'/model.safetensors'); d=128
    dry=open(W+'dry.txt').read(); sy=dry.split('── System\n')[1].split('── User\n')[0].strip('\n'); us=dry.split('── User\n')[1].rstrip('\n')
    sy=sy.split('\n\nHow to judge:')[0]+'\n\n'+sy.split('of these forms:\n')[1]; u=re.split(r'‹image.*?›',us)
    rows=[json.loads(l) for l in open(W+'scrambled-media/one.jsonl')]; img=tk.token_to_id('<|image_pad|>')
    seqs=[];X=[]
    for r in rows:
        q=u[0].replace('Describe the picture.',r['prompt'][1]['text'])
        s='<|im_start|>system\n'+sy+'<|im_end|>\n<|im_start|>user\n'+q+'<|vision_start|>'+'<|image_pad|>'*16+'<|vision_end|>'+u[1]+'<|im_end|>\n<|im_start|>assistant\n'
        a=tk.encode(s,add_special_tokens=False).ids; b=tk.encode(r['answer'],add_special_tokens=False).ids+[tk.token_to_id('<|im_end|>')]
        seqs.append((a,b))
    cache='/tmp/v/one.pt'
    if os.path.exists(cache): X=torch.load(cache)
    else:
        X=torch.from_numpy(np.stack([np.asarray(Image.open(D+r['prompt'][0]['path']).convert('RGB')) for r in rows])); torch.save(X,cache)
    print(len(seqs[0][0]),len(seqs[0][1]),tk.decode(seqs[0][1]))
    net=Net([2]*6,std=.088); V=w['model.embed_tokens.weight'].shape[0]; e=nn.Parameter(w['model.embed_tokens.weight'].clone()); h=nn.Parameter(w['lm_head.weight'].clone()); dec=nn.ModuleList(DB(d,4,384,.02) for _ in range(4)); f=RMS(d); f.w.data=w['model.norm.weight'].clone()
    net.pe.weight.data=(w['visual.patch_embed.proj.weight'].sum(2)).reshape(d,588)
    g=lambda k:w[k].clone()
    for i,b in enumerate(net.bl):
        p=f'visual.blocks.{i}.'
        b.n1.w.data=g(p+'norm1.weight'); b.n2.w.data=g(p+'norm2.weight')
        for m,k in ((b.qkv,'attn.qkv'),(b.o,'attn.proj'),(b.g,'mlp.gate_proj'),(b.u,'mlp.up_proj'),(b.dn,'mlp.down_proj')): m.weight.data=g(p+k+'.weight'); m.bias.data=g(p+k+'.bias')
    net.nq.w.data=g('visual.merger.ln_q.weight'); net.m1.weight.data=g('visual.merger.mlp.0.weight'); net.m1.bias.data=g('visual.merger.mlp.0.bias'); net.m2.weight.data=g('visual.merger.mlp.2.weight'); net.m2.bias.data=g('visual.merger.mlp.2.bias')
    for i,b in enumerate(dec):
        p=f'model.layers.{i}.'; b.n1.w.data=g(p+'input_layernorm.weight'); b.n2.w.data=g(p+'post_attention_layernorm.weight')
        rep=lambda t: t.reshape(2,32,-1).repeat_interleave(2,0).reshape(128,-1)
        b.qkv.weight.data=torch.cat([g(p+'self_attn.q_proj.weight'),rep(g(p+'self_attn.k_proj.weight')),rep(g(p+'self_attn.v_proj.weight'))]); b.qkv.bias.data=torch.cat([g(p+'self_attn.q_proj.bias'),rep(g(p+'self_attn.k_proj.bias'))[:,0],rep(g(p+'self_attn.v_proj.bias'))[:,0]])
        b.o.weight.data=g(p+'self_attn.o_proj.weight'); b.g.weight.data=g(p+'mlp.gate_proj.weight'); b.u.weight.data=g(p+'mlp.up_proj.weight'); b.dn.weight.data=g(p+'mlp.down_proj.weight')
    if fix:
        torch.manual_seed(seed)
        for n_,p_ in net.named_parameters():
            if 'bias' in fix and n_.endswith('bias'): p_.data.zero_()
            if 'norm' in fix and n_.endswith('.w'): p_.data.fill_(1)
            if 'down' in fix and n_.endswith('dn.weight'): p_.data.normal_(std=.088)
            if 'merger' in fix and n_ in('m1.weight','m2.weight'): p_.data.normal_(std=.088)
            if 'patch' in fix and n_=='pe.weight': p_.data.normal_(std=.125*2**.5)
    if A=='clean':
        for n_,p_ in net.named_parameters():
            if n_.endswith('bias'): p_.data.zero_()
            if n_.endswith('.w'): p_.data.fill_(1)
        A='decoder'
    if A=='vision':
        torch.manual_seed(seed); net=Net([2]*6,std=vs,pe=pe)
    if A=='decoder':
        torch.manual_seed(0); dec=nn.ModuleList(DB(d,4,384,.088 if i>1 else .02) for i in range(4)); e=nn.Parameter(torch.randn(V,d)*.02); h=nn.Parameter(torch.randn(V,d)*.08); f=RMS(d)
    if A is True:
        torch.manual_seed(seed); n2=Net([2]*6,std=vs,pe=pe); net=n2; dec=nn.ModuleList(DB(d,4,384,.088 if i>1 else .02) for i in range(4)); e=nn.Parameter(torch.randn(V,d)*.02); h=nn.Parameter(torch.randn(V,d)*.08); f=RMS(d)
    ps=[*net.pe.parameters(),*net.bl.parameters(),*net.nq.parameters(),*net.m1.parameters(),*net.m2.parameters(),e,h,*dec.parameters(),*f.parameters()]
    opt=torch.optim.AdamW(ps,lr=lr,weight_decay=.01); cs=rope1(260,32); t=time.time(); run=0; gen=torch.Generator().manual_seed(1); perm=torch.randperm(len(rows),generator=gen); hist=[]
    yy,xx=torch.meshgrid(torch.arange(8),torch.arange(8),indexing='ij'); wid=(yy//4*2+xx//4).reshape(-1); mask=(wid[:,None]==wid[None])
    for st in range(1,steps+1):
        ix=perm[[(st-1)*bs%(len(rows)-bs)+k for k in range(bs)]].tolist()
        for gr in opt.param_groups: gr['lr']=lr*min(1,st/5)
        x=net.pe(patches(X[ix]))
        for i,b in enumerate(net.bl):
            if win and i%2==0:
                B,N,_=x.shape; q,k,v=b.qkv(b.n1(x)).reshape(B,N,3,4,-1).permute(2,0,3,1,4); q=q*net.cs[0]+rot(q)*net.cs[1]; k=k*net.cs[0]+rot(k)*net.cs[1]
                x=x+b.o(F.scaled_dot_product_attention(q,k,v,attn_mask=mask).transpose(1,2).reshape(B,N,d)); y=b.n2(x); x=x+b.dn(F.silu(b.g(y))*b.u(y))
            else: x=b(x,net.cs)
        x=net.nq(x); B=len(ix); x=x.reshape(B,4,2,4,2,d).permute(0,1,3,2,4,5).reshape(B,16,4*d); x=net.m2(F.gelu(net.m1(x)))
        L=max(len(a)+len(b) for a,b in (seqs[i] for i in ix)); ids=torch.zeros(B,L,dtype=torch.long); tgt=torch.full((B,L),-100)
        for j,i in enumerate(ix):
            a,b=seqs[i]; s=a+b; ids[j,:len(s)]=torch.tensor(s); tgt[j,len(a)-1:len(s)-1]=torch.tensor(b)
        z=e[ids]; z=z.masked_scatter((ids==img)[...,None].expand_as(z),x.reshape(-1,d))
        c=(cs[0][:L],cs[1][:L])
        for b in dec: z=b(z,c)
        sel=tgt>=0; o=f(z[sel])@h.T; loss=F.cross_entropy(o,tgt[sel]); opt.zero_grad(); loss.backward(); gn=torch.nn.utils.clip_grad_norm_(ps,1.0); opt.step(); run+=loss.item()
        if st==1: print('first loss',loss.item(),gn.item())
        if st%20==0: print(name,st,round(run/20,3),round(time.time()-t),flush=True); run=0
if __name__=='__main__':
    kw={k:eval(v) for k,v in (a.split('=') for a in sys.argv[2:])}; main(sys.argv[1],**kw)
