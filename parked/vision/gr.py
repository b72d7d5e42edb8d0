from lm import *
torch.manual_seed(0); X,Y,K=load(); n=len(X)-600; net=LM(K,.088,.125,.088,.02,.08,low=.02); ps=[p for p in net.parameters() if p.requires_grad]
opt=torch.optim.AdamW(ps,lr=1e-3,weight_decay=.01)
for st in range(1,42):
    ix=torch.randint(n,(16,))
    for gr in opt.param_groups: gr['lr']=1e-3*min(1,st/20)
    o,w=net(patches(X[ix]),Y[ix]); loss=F.cross_entropy(o.reshape(-1,1024),w.reshape(-1)); opt.zero_grad(); loss.backward()
    if st in (1,40):
        v=net.v
        f=lambda p: round(p.grad.norm().item(),5)
        print(st,loss.item(),'pe',f(v.pe.weight),'b0',f(v.bl[0].qkv.weight),f(v.bl[0].g.weight),'b3',f(v.bl[3].qkv.weight),'m1',f(v.m1.weight),'m2',f(v.m2.weight),'d2',f(net.dec[2].qkv.weight),'d3u',f(net.dec[3].u.weight))
        x=v.pe(patches(X[ix])); print('x',x.pow(2).mean().sqrt().item())
        for b in v.bl: x=b(x,v.cs); print(x.pow(2).mean().sqrt().item())
        x=v.nq(x); B=16; x=x.reshape(B,4,2,4,2,v.d).permute(0,1,3,2,4,5).reshape(B,16,4*v.d); x=v.m2(F.gelu(v.m1(x))); print('img',x.pow(2).mean().sqrt().item(), 'std over imgs',(x-x.mean(0)).pow(2).mean().sqrt().item())
    opt.step()
