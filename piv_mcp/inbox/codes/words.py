"""The words that stand near one-time codes and near other numbers, one list for each kind.

Commas separate the entries. An entry ending in ``*`` matches every word that begins with it, for
languages that inflect; an entry with a space is a phrase. Entries in scripts written without spaces
match anywhere in a run of text. Entries are folded like messages when they are loaded, so that case
and accents make no difference.
"""

from typing import Final

# Words that name a one-time code without any other word.
ONE_TIME_CODE: Final = """
pw,pwd,passwd,
mobiletan,mobile tan,sms tan,secure code,securecode,safekey,security key,activation key,one time key,
cle d activation,clé d'activation,chiave di accesso,tijdelijke code,код доступа,رقم التعريف,رمز التفعيل,
رمز التأكيد,رمز الأمان,رمز الدخول,رمز التحقق,كود التفعيل,كود التحقق,код подтверждения,код підтвердження,
nenosiri,neno siri,igama mfihlo,ọrọ igbaniwọle,chave de acesso,chave de segurança,セキュリティ番号,
ログイン番号,chiave temporanea,clave token,one time pass,otp,otps,otac,passcode*,password*,pin,pincode,
pinkode,pinkod,tan,mtan,smstan,pushtan,chiptan,itan,tac,etac,2fa,mfa,nip,mpin,one time,onetime,token,totp,
sms otp,verification number,security number,رقم التحقق,رقم تحقق,رقم التأكيد,número de verificación,
número de verificação,numéro de vérification,номер подтверждения,او ٹی پی,verifycode,authcode,smscode,
logincode,passphrase,contraseña*,contrasenya*,contrasinal*,clave,claves,senha*,palavra passe,mot de passe,
mots de passe,passwort*,kennwort*,einmalkennwort*,einmalpasswort*,losungswort,wachtwoord*,lösenord*,
passord*,adgangskode*,kodeord*,lykilorð*,aðgangsorð*,salasana*,tunnuslu*,parool*,paroli,parole,parolē,
slaptažod*,hasło,hasła,hasłem,heslo,hesla,heslom,heslem,jelszó*,jelszav*,parola,parolă,parolei,lozink*,
zaporka,geslo,gesla,fjalëkalim*,şifre,şifreniz*,şifresi*,şifrenizi,şifrəniz*,parolu*,parolunuz*,parol,
pasahitz*,cyfrinair,pasfhocal,mật khẩu,mat khau,kata sandi,sandi,kata laluan,nywila,neno la siri,wagwoord,
пароль,пароля,паролем,паролі,паролю,парола,паролата,парол,лозинк*,шифра,құпиясөз*,купуя сөз,сырсөз,нууц үг,
нууц үгээ,рамз*,συνθηματικ*,κωδ μιας,οτπ,γաղտնաբառ*,գաղտնաբառ*,պաроль,პაროლ*,סיסמה,סיסמא,סיסמת*,סיסמתך,
كلمة المرور,كلمة مرور,كلمة السر,الرقم السري,رقم سري,الرمز السري,رمز عبور,گذرواژه*,رمز پویا,رمز دوم,
رمز یکبار,پاس ورڈ,پن,پټنوم,تێپەڕەوشە,ओटीपी,पासवर्ड*,पिन,ओटिपी,ওটিপি,ওটিপি*,পাসওয়ার্ড*,পিন,ਓਟੀਪੀ,ਪਾਸਵਰਡ,
ઓટીપી,પાસવર્ડ,ଓଟିପି,ଓଟିପି*,ஓடிபி,கடவுச்சொல்*,கடவுச்*,ఓటీపీ*,ఒటిపి,పాస్‌వర్డ్*,ಒಟಿಪಿ*,ಪಾಸ್‌ವರ್ಡ್*,ഒടിപി*,
ഒ.ടി.പി,പാസ്‌വേഡ്*,മുദ്രവാക്യ*,මුරපද*,රහස් අංක*,รหัสผ่าน,โอทีพี,รหัสลับ,รหัสยืนยัน,รหัสความปลอดภัย,
ລະຫັດຜ່ານ,ລະຫັດຢືນຢັນ,ពាក្យសម្ងាត់,លេខសម្ងាត់,စကားဝှက်,የይለፍ ቃል,የይለፍ,የሚስጥር,ሚስጥራዊ,验证码,驗證碼,校验码,
校驗碼,动态码,動態碼,动态密码,動態密碼,密码,密碼,口令,认证码,認證碼,确认码,確認碼,激活码,啟動碼,启动码,
授权码,授權碼,登录码,登入碼,安全码,安全碼,检验码,識別碼為,检证码,随机码,隨機碼,短信码,简讯码,簡訊碼,
验证號碼,認証コード,認証番号,確認コード,確認番号,ワンタイムパスワード,ワンタイムパスコード,ワンタイム,
パスワード,パスコード,暗証番号,認証キー,検証コード,セキュリティコード,ログインコード,仮パスワード,
アクセスコード,照合番号,인증번호,인증코드,비밀번호,확인코드,일회용,확인번호,승인번호,보안코드,보안번호,
패스워드,로그인코드,인증 번호,인증 코드,lösning*,sifremiz,kodeotp,kodeverifikasi,codesms,smskode,smskod*,
sms kod*,sms code,sms codul,pinnkode,engangskod*,kertakäyttökoodi*,vahvistuskoodi*,kontrolkod*,
kontrollkod*,kontrollikood*,turvakood*,drošības kods
"""

# Words that mean "code" of any kind; the words beside them say which.
CODE: Final = """
code,codes,passkey,klic,klíč,kľúč,codigo*,código*,codi,codice,codici,codiçe,codul,cod,codurile,codului,
coduri,kode,kodes,koden,kodene,kodi,kodin,kodea,kodeku,kodemu,kodenya,kode anda,kod,kodu,kody,kodem,
kodunuz*,kodunu*,kodunuzdur,kodum,kodun,koda,kodo,kods,kodą,kodas,kodom,kodot,kodja,kódja*,kódj*,kódod,kód,
kódot,kódu,kódem,kódom,kodingiz*,kodini,kodni,koodi,koodia,koodin,koodisi,koodilla,koodiasi,koodi*,kood,
koodiga,kóði,kóðinn,kóðann,koodh*,ikhodi*,ikhowudi*,koodu,kòd,kaody*,chód,chod,gcód,kodiċi,kodici,kodiċi*,
msimbo*,nambari yako,namba yako,lambar*,lambobi,khoutu,khodi,mã của,mã là,mã xác*,mã otp,mã pin,mã kích,
mã đăng,mã bảo,mã truy,mã số,nhập mã,la ma,là mã,mã này,ma này,kod sms,код,кода,коду,кодом,коде,коды,кодот,
кодын,кодыңыз*,кодуңуз*,кодыңызды,кодоо,кодыг,кодът,кодты,код*,κωδικ*,κωδ,կոդ,կոդը,կոդն,կոդն*,կոդի,կոդ*,
კოდ*,קוד,קודים,קודך,كود,كودك,الكود,رمز,رمزك,الرمز,رمزي,رمزکم,کد,کدتان,كدتان,کوڈ,کۆد*,كۆد*,کود,कोड,कोड*,
संकेतांक,কোড,কোড*,কোডটি,ਕੋਡ,કોડ,କୋଡ,குறியீடு*,குறியீ*,கோட்,கோடு,కోడ్,కోడ్*,ಕೋಡ್,ಕೋಡ್*,കോഡ്,കോഡ്*,කේත*,කේතය,
කෝඩ්,รหัส,โค้ด,ລະຫັດ,កូដ,លេខកូដ,ကုဒ်,ကုတ်,ኮድ,ኮድዎ,コード,코드,码为,碼為,代码,代碼,码,碼,交易码,ཨང་,
ލިބިފައިވާ,ކޯޑް
"""

# Words for signing in, confirming and security; they add weight to a code word beside them.
SIGN_IN: Final = """
door te gaan,melden sie sich an,melde dich an,anzumelden,einzuloggen,
bevestig*,activer*,herstel*,wiederherstell*,zurücksetz*,recover*,restore*,reset,resetting,recuper*,
récupér*,réinitialis*,restablec*,redefin*,ripristin*,återställ*,gjenopprett*,nulstil*,palaut*,nollaus*,
lähtestam*,atjauno*,atkūr*,відновл*,восстанов*,сброс*,възстанов*,odzysk*,resetow*,obnov*,helyreállít*,
visszaállít*,resetare,ponastav*,sıfırla*,bərpa,tiklash,استعادة,إعادة تعيين,بازیابی,שחזור,איפוס,रीसेट,রিসেট,
รีเซ็ต,đặt lại,khôi phục,dat lai,khoi phuc,atur ulang,tetapkan semula,重置,找回,再設定,재설정,pairing,pair,
linking,connect,aprob*,approuv*,freigeb*,genehmig*,goedkeur*,godkänn*,godkjenn*,godkend*,hyväksy*,
zatwierdz*,schvál*,schvaľ*,odobr*,одобр*,έγκρισ*,εγκρίν*,موافقة,الموافقة,authoriz*,checkout code,e sign,
esign,signature,firma digital,unterschrift,podpis*,подпис*,підпис*,aláír*,semnătur*,imza*,توقيع,sirri,
laluan masuk,mag sign,patunayan,kumpirmahin,თანხმობ*,იდენტიფიკ*,նույնականաց*,таны,танилт,нэвтрэ*,тіркел*,
кирүү,катталуу,воридшавӣ,वेरिफिकेशन,वेरीफिकेशन,वेरिफाई,প্রবেশ,ভেরিফিকেশন,ভেরিফাই,ਵੈਰੀਫਿਕੇਸ਼ਨ,વેરિફિકેશન,
வெரிஃபிகேஷன்,వెరిఫికేషన్,ವೆರಿಫಿಕೇಶನ್,വെരിഫിക്കേഷൻ,បើក,អត្តសញ្ញាណ,ເຂົ້າ,ລົງທະບຽນ,get into,chave,log into,
otoris*,otoriz*,otorit*,
logging into,sign into,verif*,vérif*,verfic*,confirm*,authent*,authori*,autoris*,autoriz*,auth,autentic*,
autentif*,autenti*,activa*,aktiv*,secur*,sécur*,segur*,seguranç*,sicher*,sicurez*,login*,logon,signin,
signing,sign in,signing in,sign up,signup,log in,logging in,log on,register*,registr*,regist*,registra*,
access,accès,acceso,acesso,acceder,accesso,accedere,validat*,validac*,validaç*,valida,validação,identity,
identif*,identit*,unlock,secret,two factor,two step,2 step,enrol*,link your device,prove,approve,device,
2factor,sso,temporary,single use,firma,firmar,dinámica,iniciar,entrar,provisória,temporal,temporaire,
usage unique,confidentiel,connexion,connecter,inscription,anmeld*,einmal*,bestätig*,bestaetig*,freigab*,
zugang*,zugriff*,temporär*,registrier*,einlogg*,engång*,engangs*,bekräft*,bekreft*,bekræft*,sikkerhed*,
sikkerhet*,säkerhet*,innlogg*,inlogg*,logge,logga,indlog*,log ind,inlog*,beveilig*,toegang*,eenmalig*,
inloggen,aanmeld*,vahvist*,kertakäyttö*,kirjaut*,tunnist*,turva*,staðfest*,öryggis*,innskrán*,auðkenn*,
kinnit*,ühekord*,sisselog*,tuvasta*,apstiprin*,vienreiz*,drošīb*,pieteik*,patvirtin*,vienkartin*,
prisijung*,saugos,weryfik*,potwierdz*,logowan*,autoryz*,uwierzyt*,jednoraz*,zalogow*,aktywac*,ověřit,
ověřte,ověření,ověřen*,ověřovac*,overov*,overen*,overiť,přihláš*,prihlás*,potvrzen*,potvrdn*,potvrd*,
potvrđ*,bezpečnost*,megerős*,azonosít*,ellenőrz*,belép*,bejelentk*,egyszer*,hitelesít*,jóváhagy*,
biztonság*,verificare,confirmare,unică,unic,autentific*,conectare,securit*,verifikac*,verifikaci*,prijav*,
sigurnos*,jednokrat*,enkrat*,preverit*,verifikim*,konfirm*,njëpërdor*,siguris*,identifik*,doğrul*,onay*,
giriş*,güvenlik*,aktivasyon*,tek kullan*,tek seferlik,təsdiq*,birdəfəlik*,giriş,təhlükəsizlik,tasdiq*,
kirish*,faollash*,xavfsizlik,xác thực,xác nhận,kích hoạt,đăng nhập,bảo mật,xac thuc,xac nhan,kich hoat,
dang nhap,bao mat,verifikasi*,konfirmasi*,masuk,rahasia,aktivasi,otentikasi,keamanan,login,pengesahan,
keselamatan,sahkan,log masuk,pagpapatunay,beripik*,kumpirma*,mag log,uthibitish*,kuthibitisha,kuingia,
usalama,egiaztap*,dilysu,fíoraith*,verifika,verifikasyon,vérification,verifikasie*,xaqiijin*,tabbatar*,
kuqinisekis*,yokuqinisekis*,ìjẹ́rìísí,nkwenye,kwemeza,fanamarin*,podtverzhd*,podtverjd*,vhod*,подтвержд*,
подтверд*,войдите,підтвер*,пацвярдж*,потвърж*,потвърд*,потврд*,верифик*,вериф*,авториз*,авторизац*,
активац*,активир*,доступ*,вход,входа,входу,войти,вхід,вход*,регистр*,реєстр*,рэгістр*,безопас*,безпек*,
сигурност,одноразов*,однократ*,еднократ*,аднаразов*,временн*,тимчасов*,секрет*,растау*,растаңыз,ырасто*,
баталгаажуул*,нэвтрэх*,нэг удаагийн,нэг удаа,тасдиқ*,тасдик*,кіру,бір реттік,бир жолку,επαλήθευσ*,
επιβεβαίωσ*,ασφαλεί*,ασφάλει*,μιας χρήσης,ταυτοποίησ*,σύνδεσ*,συνδεθ*,ενεργοποίησ*,εξουσιοδότ*,հաստատ*,
մեկանգամյա*,մուտք*,վավերաց*,დადასტურ*,ერთჯერად*,ავტორიზ*,ვერიფიკ*,შესვლ*,უსაფრთხო*,ertjeradi,אימות,כניסה,
הזדהות,אישור,חד פעמי,חד פעמית,חד,פעמי*,אבטחה,התחברות,זיהוי,תחקות,תحقق,التحقق,تحقق,تحققك,التأكيد,تأكيد,
تفعيل,التفعيل,الدخول,دخول,المرور,الأمان,أمان,لمرة واحدة,لمره,المصادقة,مصادقة,التعريف,التوثيق,توثيق,تسجيل,
تأييد,تایید,تائید,تأیید,ورود,پویا,یکبار,یکبارمصرف,مصرف,فعالسازی,فعال,احراز,امنیتی,موقت,ورودی,شناسایی,تصدیق,
تصدیقی,توثیق,لاگ ان,پشتڕاست*,تەئکید,piştrastkirin*,लॉगिन,लॉग,सत्यापन,प्रमाणीकरण,पुष्टि,पडताळणी*,सत्यापित,
सुरक्षा,সত্যায়ন,যাচাই*,নিশ্চিত*,লগইন,প্রমাণীকরণ,নিরাপত্তা,ਪੁਸ਼ਟੀ*,ਤਸਦੀਕ,ચકાસણી,લોગિન,ଯାଞ୍ଚ,சரிபார்*,
உள்நுழை*,அங்கீகார*,ధృవీకరణ*,ధృవీకరిం*,లాగిన్,ಪರಿಶೀಲನ*,ದೃಢೀಕರಣ,സ്ഥിരീകരണ*,പരിശോധന*,සත්‍යාපන*,තහවුරු*,ยืนยัน,
เข้าสู่ระบบ,ความปลอดภัย,ลงทะเบียน,ยืนยันตัวตน,ຢືນຢັນ,ເຂົ້າສູ່,ផ្ទៀងផ្ទាត់,បញ្ជាក់,ចូល,အတည်ပြု,ဝင်ရောက်ရန်,
ማረጋገጫ,መረጋገጺ,መግቢያ,登录,登陆,登入,验证,驗證,校验,认证,認證,認証,注册,註冊,身份,身分,本人,安全验证,绑定,綁定,
ログイン,サインイン,確認用,二段階,로그인,인증,본인확인,본인인증,가입
"""

# Verbs that ask for the code to be typed: enter, type.
ENTER: Final = """
put,pop,entering,typing,inputting,putting in,fill in,tap in,plug in,coloca,coloque,ponga,ponha,escreva,
introduciendo,ingresando,mettez,tippen,scrivi,metti,vulin,knappa in,
enter,type,input,insert,key in,introduce,introduzca,ingrese,ingresa,teclea,digita,digite,insira,introduza,
saisissez,saisir,saisis,entrez,entrer,tapez,composez,renseignez,eingeben,inserisci,inserire,digitare,voer,
vul,ange,skriv,tast,indtast,oppgi,syötä,sisesta*,ievadi*,įveskite,wpisz,przepisz,zadejte,zadajte,opište,
írja,adja meg,introdu,introduceți,unesite,upišite,vnesite,vendosni,girin*,giriniz,yazın,kiriting,daxil,
nhập,nhap,masukkan,ketik,masukan,taip,ilagay,i enter,weka,ingiza,введите,вводите,наберите,введіть,въведете,
унесите,внесите,енгізіңіз,киритинг,оруулна,εισάγετε,εισαγάγετε,πληκτρολογ*,καταχωρ*,մուտքագր*,შეიყვან*,הזן,
הזינו,הקש,הקלד,הקלידו,أدخل,ادخل,قم بإدخال,ادخال,إدخال,درج کریں,دर्ज,दर्ज करें,दर्ज करे,दर्ज कीजिए,प्रविष्ट,
डालें,লিখুন,প্রবেশ,உள்ளிட*,నమోదు,ใส่,กรอก,ປ້ອນ,បញ្ចូល,ထည့်,ያስገቡ,输入,輸入,填写,填寫,入力,입력,punch in,
teclee,marque,introduz,escriba,escribe,pon,digitar,inscreva,indique,entra,compose,gib ein,tippe*,eintippen,
immetti,typ,skriva,skriv inn,skriv in,näppäile,kirjoita,syöttää,trükkige,napište,vyplňte,wprowadź,írja be,
üsse be,tastează,scrie,ukucajte,otkucajte,utipkajte,natipkajte,vpišite,tuşlayın,yazınız,впишите,наберіть,
впишіть,внеси,દાખલ,દાખલ કરો,ನಮೂದಿಸಿ,നൽകുക,ഇൻപുട്ട്,ଦିଅନ୍ତୁ,टाका,ඇතුළත්,yodhe,填入,键入,打ち込
"""

# Weaker verbs: use, give.
USE: Final = """
with,
use,using,usa,utilice,utiliza,utilize,utilisez,utilise,provide,submit,verwende*,nutze*,benutze*,utilizza,
gebruik,använd,bruk,brug,käytä,anna,kasuta*,izmanto*,naudokite,użyj,podaj,použijte,použite,használja,
folosiți,folosește,foloseste,koristite,uporabite,përdorni,kullan*,gunakan,pakai,gamitin,tumia,используйте,
використ*,използвайте,користите,χρησιμοποι*,გამოიყენ*,استخدم,استعمل,उपयोग,ব্যবহার,பயன்படுத்த*,ఉపయోగించ*,
ใช้,ប្រើ,အသုံးပြု,使用,사용,informe,approve with,freigabe mit,وارد,السماح,दिन,দিন,བེད,ಬಳಸಿ,ഉപയോഗിക്കുക,
વાપરો,वापरा,ਵਰਤੋ,укажите,вкажіть,geben,gib,dùng,dung ma,gamita
"""

# Names of services that begin like a word of another list, and so must not match it.
BRANDS: Final = """
lieferando,lieferheld,ticketmaster,ticketswap,bookingcom,bookmyshow,couponbirds,promofarma,livraria,livreval,
"""

# Parcels, deliveries, and goods that are picked up with a code.
PARCEL: Final = """
kolli*,uthämtning*,afhalen,odebra*,забрать,забер*,забрати,pengambilan,
taquilla,casillero,cacifo,recoger,recogerlo,recogerla,recoge,recógelo,recojo,recogido,
cajero automático de paquetes,retrouvez votre colis,алу коды,алып кету,locker*,mailbox,click collect,
ячейк*,комірк*,клетка,skrinka,schránk*,zbox,fach,schließfach,kluis,skap,luukku,kapp,pickup,pick up,
picked up,collect,collected,collection,parcel*,package*,deliver,delivers,delivered,delivery,deliveries,
delivering,shipment*,shipped,shipping,dispatch*,postbox,groceries,cylinder,dac,safe place,recogid*,
recogida,paquete*,entrega*,reparto,envío,envios,encomenda*,levantamento,retirada,retirar,ponto de recolha,
colis,retrait,livr*,paket,pakete,paketzust*,packstation,abhol*,zustell*,liefer*,sendung*,pacco,ritiro,
ritira,ritirare,consegna*,spedizion*,pakket*,ophaal*,ophalen,bezorg*,afhaal*,pakke,pakken,pakkeboks*,
paketet,hämt,hämta,hämtkod*,hämtnings*,hente,hentes,hentekode*,afhent*,leverans*,levering*,utlämning*,
utleverings*,pakett*,nouto*,noude*,toimitus*,lähetys,paketti*,sendingin*,afhending*,pakk,pakiautomaa*,
pakiautomaadis,uksekood,väljastus*,sūtījum*,pakomāt*,saņemšan*,siunt*,paštomat*,atsiėmim*,paczk*,odbioru,
odbierz,odbiór,przesyłk*,dostaw*,zásilk*,výdej*,vyzvedn*,vyzdvih*,balík*,doruč*,zásielk*,z box,csomag*,
átvétel*,átvehető,kézbesít*,colet*,ridicare,ridică,livrare,preuzim*,paketomat*,dostav*,isporuk*,prevzem*,
kargo*,teslim*,gönderi*,bağlama,pochta,yetkazib,nhận hàng,nhan hang,giao hàng,giao hang,đang giao,
dang giao,vận đơn,van don,penerimaan,pengiriman,diantar,bungkusan,penghantaran,dihantar,padala,mzigo,
пункт*,выдач*,получени*,посылк*,постамат*,доставк*,посилк*,поштомат*,отриман*,видач*,кур'єр,відкриття,
пратк*,пратката,получаван*,пакет,пакета,преузим*,пратка,сәлемдеме,жеткіз*,δέμα,δεμα*,παραλαβ*,παράδοσ*,
παραδοσ*,παραδιδ*,παραδοθ*,αποστολ*,առաքան*,ստացման,ամանաթ*,ამანათ*,მიტანა,חבילה,החבילה,איסוף,לוקר,משלוח,
شحنتك,شحنة,الاستلام,استلام,للاستلام,التوصيل,توصيل,مرسوله,بسته,کد تحویل,رهگیری,پارسل,ڈیلیوری,पार्सल,डिलीवरी,
पैकेज,পার্সেল,ডেলিভারি,பார்சல்,డెలివరీ,พัสดุ,จัดส่ง,รับสินค้า,รับของ,ຈັດສົ່ງ,取件,签收,收货,包裹,快递,快遞,
取餐,取货,取貨,外卖,驿站,智能柜,格口,自提,到店,提货,お荷物,荷物,配達,宅配,受取,開錠,解錠,伝票,ロッカー,
お届け,택배,무인함,운송장,배달,배송,수령,픽업
"""

# What a secret opens besides accounts: doors, wireless networks, SIM cards, voicemail, meetings, rides.
LOCK: Final = """
zoom kenncode,teams kenncode,meeting kenncode,dveř*,dvír*,schlüsselkasten,teams id,meet pin,cod ușă,
bike pin,garaż*,furtk*,schránce na klíče,uși,kasa şifresi,门口,保险箱,保險箱,金庫,вайфа*,вай фая,elevator,
combination,archive password,zip password,parental control,tv pin,klatki,skrytk*,开门,開門,入室,ワイファイ,
zoom id,la course,votre course,course uber,course bolt,besprechungs,join the call,上车,上車,entry pin,
entry code,ドア,printer,wireless password,wireless key,वाईफाई,वाई फाई,wohnungs,gebäude,חניה,בניין,לבניין,
zoom passcode,zoom password,teams passcode,webex passcode,webex password,lock,wifi,wi fi,wlan,router,
hotspot,wpa,ssid,network key,network password,guest network,puk,sim pin,sim lock,voicemail,voice mail,
buzón de voz,messagerie vocale,segreteria,голосовая почта,голосовой почты,голосовую почту,meeting*,webinar*,
conference,teleconference,dial in,besprechung,reunión,riunione,reunião,vergadering,spotkani*,toplantı,
конференц*,встреч*,会议,會議,会議,ミーティング,회의,rapat,cuộc họp,ride,rides,trip,taxi,cab,viaje,corrida,
viagem,trajet,fahrt,corsa,viaggio,поездк*,поїздк*,yolculu*,perjalanan,chuyến đi,行程,乘车,乗車,탑승,
przejazd*,scooter,bike unlock,safe code,safe pin,key box,keybox,key safe,room pin,room code,room password,
pdf,puertas,edificio,apartamento,alojamiento,garaje,alarma,cerradura,candado,caja fuerte,appartement,
logement,serrure,boîte à clés,alarme,coffre,schlüsselbox,schlüsseltresor,tresor,wohnung,tür,alarmanlage,
appartamento,allarme,serratura,cassaforte,garagem,fechadura,cofre,mieszkani*,sejf*,замк*,сейф*,квартир*,
роутер*,kapı,kapısı,kapının,kablosuz,вай фай,无线网,無線網,无线密码,와이파이,واي فاي,الواي فاي,ไวไฟ,
door,doors,gate,keypad,building,apartment,garage,alarm,lockbox,lock box,intercom,entrance,puerta,portón,
portero,portão,porta,porte,immeuble,digicode,portail,interphone,türcode,haustür*,eingangstür,cancello,
portone,citofono,deur,poort,portkod*,dörr*,dørkode*,ovikoodi*,alaovi*,ovi,uksekood*,durvju,laiptinės,drzwi,
bramy,brama,bramk*,domofon*,vchod*,kapukód*,kapu,ajtó*,ușă,interfon*,ulaz*,vrata,
πόρτα*,εισόδου,דלת,שער,הבניין,الباب,باب,بوابة,درب,दरवाज*,ประตู,pintu,门禁,大门,门锁,門禁,門鎖,玄関,
オートロック,현관,공동현관,도어락,출입,домофон*,подъезд*,двер*,ворот*,калитк*,під'їзд*
"""

# Orders, bookings, invoices, references, cases: they have numbers that nobody types as a code.
ORDER: Final = """
reserver*,po box,box no,
शिकायत*,आवेदन*,অভিযোগ*,আবেদন*,ਸ਼ਿਕਾਇਤ,புகார்*,ఫిర్యాదు*,подразделен*,访客,访客码,整理番号,จอง,เที่ยวบิน,
สมาชิก,会员卡,지점,오류코드,错误码,错误代码,エラーコード,에러코드,customer*,client,clients,client's,
cliente*,clienti,klant*,klantcode*,kunde*,kunden*,kund,kundens,asiakas*,klient*,klijent*,zákazn*,ügyfél*,
vevő*,müşteri*,müştəri*,mijoz*,клиент*,клієнт*,кліент*,абонент*,πελάτη*,πελατ*,לקוח*,عميل,العميل,العملاء,
مشترک,مشتری,گاہک,ग्राहक*,গ্রাহক*,வாடிக்கையாளர்*,కస్టమర్*,ลูกค้า,pelanggan,khách hàng,khach hang,mteja,
お客様,お客さま,客户,客戶,고객,item,product,products,producto*,produto*,produit*,prodott*,produkt*,
artikel*,artículo,artikkel*,tuote*,termék*,termek*,produs*,proizvod*,izdelek,ürün*,məhsul*,товар*,продукт*,
προϊόν*,προϊοντ*,מוצר,المنتج,منتج,محصول,کالا,उत्पाद*,পণ্য*,สินค้า,sản phẩm,san pham,produk,商品,产品,產品,
상품,제품,fejlkode,felkod*,feilkode*,virhekoodi*,virhe*,kļūd*,klaid*,błąd,błędu,bledu,chyby,greška,greške,
napake,xəta,xatolik,lỗi,ma loi,ralat,galat,خطأ,الخطأ,خطای,שגיאה,त्रुटि,ত্রুটি,ข้อผิดพลาด,エラー,故障,class,
lesson,school,student*,étudiant*,alumno,branch,ifsc,услуг*,послуг*,nacional,ملی,fiscal,fiscale,
steuer*,impôt,tributario,податков*,налог*,vergi,ไปรษณีย์,psč,irányítószám,country,dialling,dialing,
area code,promo code,discount code,barras,barre,strichcode,barcode*,codigo de barras,código de barras,
code barre,code barres,reclam*,queja,брон*,
бронюван*,取票,兑奖,pocztow*,poštov*,postinumer*,postnum*,postcode*,почтов*,поштов*,пощенск*,kode pos,
poskod,mã bưu,posta kodu,ταχυδρομ*,מיקוד,邮编,郵遞區號,郵便番号,우편번호,الرمز البريدي,رمز بريدي,کد پستی,
पिन कोड क्षेत्र,parking,promotion,order,orders,booking*,reservation*,ref,refs,refno,reference*,ticket*,
invoice*,bill,tracking,track,transaction*,txn,txns,trx,trxid,txnid,utr,rrn,claim,complaint*,pnr,flight,
plate,error,erreur,fehler*,errore,erro,chyba,hiba,eroare,грешка,ошибк*,помилк*,hata,σφάλμα*,versioncode,
serial,certificate,roll,postcode,postal,zip,barcode,qr,swift,tax,unicode,vscode,area,
prescription,batch,lot,conduct,dress,locator,incident,purchase code,folio,pedido*,reserva*,factura*,
fatura*,localizador,referencia,referência,expediente,trámite,protocolo,nota,processo,commande*,réservation,
facture*,référence,réf,bestell*,buchung*,auftrag*,rechnung*,kundennummer,vorgang*,referenz*,termin,
vergleichswert,ticketnr,sendungsnr,ordine,ordini,prenotaz*,fattura,pratica,riferimento,bestelling*,
boeking*,factuur*,klantnummer,kenmerk,afspraak,patiëntnummer,ordernummer,bokning*,faktura*,fakturanr,
kollinummer,ocr,ordre*,bestilling*,referanse,kvittering,ärende*,tilaus*,varaus*,lasku*,viite*,viitenumero,
tellimus*,arve,broneering*,pasūtījum*,rēķin*,užsakym*,sąskait*,zamówien*,rezerwac*,faktur*,objednávk*,
rezervac*,faktúr*,rendelés*,foglalás*,számla*,comand*,rezervar*,programare,narudž*,narudzb*,rezervacij*,
račun,računa,naročil*,sipariş*,rezervasyon*,numaralı*,nolu,sıra,randevu*,təyyarə,buyurtma,sifariş,
mã giao dịch,ma giao dich,ma gd,mã gd,mã đơn,ma don,đơn hàng,don hang,mã đặt,mã khách,pesanan,invois,resi,
no resi,no pesanan,rujukan,tempahan,order no,заказ*,бронь,брони,брониров*,счет,заявк*,талон*,замовлен*,
квитанц*,поръчк*,фактур*,резервац*,резерв*,номер заказ*,нарачк*,поруџ*,тапсырыс*,захиалг*,παραγγελί*,
παραγγελι*,κράτησ*,κρατησ*,τιμολόγ*,ραντεβού,αίτησ*,պատվեր*,შეკვეთ*,ჯავშან*,הזמנה,הזמנתך,חשבונית,אסמכתא,
תור,פנייה,طلبك,طلب,الطلب,حجز,حجزك,الحجز,فاتورة,مرجع,مرجعي,بموعدك,موعدك,عيادة,سفارش,رزرو,پیگیری,نوبت,شناسه,
آرڈر,ऑर्डर*,बुकिंग,অর্ডার*,ஆர்டர்*,ఆర్డర్*,คำสั่งซื้อ,ออเดอร์,การจอง,订单,訂單,运单,單號,单号,编号,編號,
预约,預約,流水号,就诊号,車次,航班,识别码,識別碼,网页识别码,予約,注文,お問い合わせ番号,問い合わせ番号,
診察券,受付番号,会員番号,주문번호,주문,예약번호,예약,접수번호,접수,거래번호,barkod,streckkod*,postkod*,
postnummer,plz,postleitzahl,codex,errorcode,statuscode
"""

# Labels of other numbers. They do not stop a word beside them from naming a code ("your ID code").
OTHER_LABEL: Final = """
benutzer*,utilisateur,identifiant,usuario,utente,gebruiker,användare,bruger,bruker,käyttäjä*,użytkownik*,
uživatel*,felhasználó*,utilizator*,kullanıcı*,логин,логін,пользовател*,користувач*,χρήστη*,المستخدم,משתמש,
用户名,使用者,아이디,at,po,
from,user,username,userid,user id,portal,reclamo,número de caso,solicitud,solicitação,demande,anfrage,
antrag,richiesta,aanvraag,section,article,chapter,page,paragraph,terms,number plate,licence,license,号码,
號碼,二维码,扫码,条码,编码,付款码,会员码,健康码,序列码,序列号,手机号,手机号码,户号,학번,고객번호,顧客番号,
契約番号,会員,id,case,session,member,membership,network,site,screen,host,station,visit,consulta,cita,
patient,seat,gate,room,platform,street,apt,flat,version,model,train,bus,hall,table,badge,place,voiture,
kundennr,wagen,platz,zug,zimmer,huone,каб,gab,cabinet,gabinet,route,rx,exam,policy,queue,zone,
number of,loan,emi,application,meter,appointment,dossier
"""

# Discounts and gifts.
COUPON: Final = """
buono,buoni,gift card,prepaid card,actiecode*,kortingscode*,
红包,領取,领取,coupon*,promo*,presale,invitation code,invite code,voucher*,discount*,off,gift,giftcard,
referral,refer a,sale,save,checkout,deal,deals,cashback,points,reward*,bonus,cupón,cupon*,cupom,descuento*,
desconto*,ahorra,rebaja*,rabat*,gutschein*,sparst,sparen,reduc*,réduc*,remise,achat bon,sconto,sconti,
korting*,alennus*,alekoodi*,rabatt*,allahind*,sooduskood*,atlaid*,nuolaid*,zniżk*,slev*,zľav*,zlav*,
kedvezm*,kupon*,reducere,reduceri,popust*,zbritj*,indirim*,endirim*,chegirma*,giảm,giam,khuyến mãi,
khuyen mai,ưu đãi,diskon*,potongan,diskaun,baucar,punguzo,diskwento,скидк*,скидок,промокод*,купон*,
сертификат*,знижк*,отстъпк*,попуст*,жеңілдік*,хямдрал*,έκπτωσ*,κουπόν*,προσφορά*,զեղչ*,ფასდაკლებ*,הנחה,
קופון,מבצע,خصم,تخفيض,قسيمة,تخفیف,رعایت,छूट,कूपन,ছাড়,কুপন,தள்ளுபடி*,తగ్గింపు*,ส่วนลด,ลดทันที,คูปอง,
โปรโมชั่น,优惠,優惠,折扣,满减,兑换,兌換,礼品,领邀请码,券码,核销码,促销,立减,クーポン,割引,プレゼント,쿠폰,
할인,사은품,기프트,경품
"""

# Cards and accounts; the digits that follow are their last digits or their number.
CARD: Final = """
ลงท้ายด้วย,ลงท้าย,끝자리,끝나는,berakhir*,kết thúc,eindigend,eindigt,kończąc*,заканчива*,закінчу*,končíc*,
végződ*,terminant,
sort code,sort codes,
card,cards,ending,ends,ending in,acct,acc,account,accounts,ac,a c,xx,xxx,xxxx,xxxxx,iban,konto,kontos,
karte,kreditkarte,endziffer*,endet,endend,tarjeta*,terminada,terminado,cuenta*,cartão,cartao,final,conta,
carte,cb,finissant,compte,carta,conto,termina,kaart,rekening,kort,kortet,slutar,slutter,ender,kontot,
kortti*,päättyy,tili,konts,kortelė*,karta,karty,kartę,kartą,kartou,rach,konta,účet*,kártya*,kártyája,vége,
végű,cont,contul,cardul,kartica*,karticom,kartico,kart,kartı*,kartınız*,biten,hesap*,hesabı*,tk,tài khoản,
tai khoan,stk,kartu,rek,akaun,akaunti,karta*,карта*,карт,карты,карте,картой,картка*,картки,рахун*,карта,
сметка,κάρτα*,καρτα*,λήγει σε,λογαριασμ*,քարտ*,ბარათ*,כרטיס*,המסתיים,מסתיים,חשבון,بطاقة,بطاقتك,بطاقه*,
حسابك,حساب,المنتهية,کارت,کارڈ,اکاؤنٹ,खाते,खाता,कार्ड,অ্যাকাউন্ট*,কার্ড*,கணக்கு*,கார்டு,ఖాతా*,కార్డ్,บัตร,
บัญชี,ບັນຊີ,គណនី,အကောင့်,ሂሳብ,尾号,尾號,末四码,末四碼,末四位,後四碼,后四位,卡号,卡號,账户,帳戶,帐户,カード,
末尾,下4桁,口座,카드,계좌,дансанд,дансны,ඔබගේ ගිණුම*,ගිණුම*,vpa,upi,beneficiary,trf to
"""

# Telephone numbers and short codes to call or write to.
PHONE: Final = """
anruf,
,emergency line,linka,linku,signalez,sulkupalvel*,spärra,spær,sperr*,notruf,meld via,denuncie,
denuncia al,segnala*,rapporter*,anmäl,相談,通報,举报,舉報,專線,专线,상담,แจ้ง,lapor*,help,support,service,
customer service,hilfe,kundenservice,ayuda,ajuda,suporte,aide,aiuto,assistenza,hulp,klantenservice,hjälp,
kundtjänst,hjelp,kundeservice,hjælp,apua,asiakaspalvelu,pomoc,pomoć,segítség,ajutor,yardım,помощь,
поддержк*,підтримк*,допомог*,помощ,βοήθεια,עזרה,מוקד,للمساعدة,پشتیبانی,मदद,সাহায্য,สอบถาม,帮助,支持,支援,
고객센터,call,calling,phone,report to,police,hot line,горячая линия,гаряча лінія,линия,лінія,ცხელი ხაზი,
پلیس,tel,telephone,dial,hotline,helpline,helpdesk,reply,replying,text,sms to,texts,stop,contact,ring,
paybill,whatsapp us,fax,toll free,customer care,queries,llame,llama,llamar,teléfono,linea,línea,dudas,
inquietudes,ligue,telefone,central,appelez,appeler,téléphone,rappelez,opposition,info,rufen,telefon,
anrufen,rückruf,rufnummer,chiama,chiamare,numero verde,bel,bellen,ringa,soita,puh,zadzwoń,infolinia,
volejte,volajte,infolinka,hívja,telefonszám,sunați,sunati,suna,pozovite,nazovite,pokličite,arayın,arayin,
numaradan,zəng,qo'ng'iroq,liên hệ,lien he,lh,gọi,goi,hubungi,telepon,halo,tawagan,tumawag,piga simu,piga,
bild,звоните,позвоните,тел,телефон*,дзвоніть,подзвоніть,зателефонуйте,обадете,позовите,қоңырау,анықтама,
лавлах,утас*,звонили,номера,καλέστε,τηλ,τηλέφωνο,զանգահար*,զանգ*,დარეკ*,ხაზი,חייגו,התקשרו,טלפון,للاستفسار,
اتصل*,الاتصال,هاتف,تواصل,تماس,تلفن,شماره,लغو,کال,رابطہ,कॉल,हेल्पलाइन,संपर्क,হেল্পলাইন,কল,அழைக்க*,கால்,కాల్,
โทร,ติดต่อ,ໂທ,ទូរស័ព្ទ,ဖုန်း,ይደውሉ,电话,電話,致电,致電,客服,拨打,咨询,諮詢,请拨,請撥,热线,热線,熱線,退订,
お問い合わせ先,문의,전화,신고,수신거부,무료거부,لغو
"""

# Amounts of money: their labels and currencies.
MONEY: Final = """
kwh,kw,
bonus,бонус*,баллов,rs,inr,usd,eur,euro,euros,gbp,aed,sar,kes,ksh,ngn,ghs,zar,php,idr,rp,rm,myr,sgd,aud,
cad,nzd,hkd,twd,nt,jpy,cny,rmb,krw,vnd,thb,baht,try,tl,azn,sum,som,so'm,uzs,kzt,rub,rur,pln,zl,zł,kc,kč,
czk,ft,huf,lei,ron,bgn,din,rsd,hrk,kn,kr,sek,nok,dkk,isk,chf,egp,qar,kwd,bhd,omr,jod,irr,irt,pkr,bdt,npr,
lkr,mmk,khr,amd,gel,mnt,etb,tzs,ugx,dollars,dollar,rupees,руб,рублей,р,₽,грн,uah,лв,ден,дин,тг,тенге,сум,
сом,төгрөг,ریال,ريال,درهم,جنيه,دينار,ليرة,تومان,روپے,روپيہ,रु,रुपये,रुपए,টাকা,ரூ,ரூபாய்,రూ,රු,บาท,ກີບ,រៀល,
ကျပ်,ብር,元,円,원,人民币,人民幣,dram,lari,mb,gb,kb,kmh,km,kg,grams,gram,points,pts,puntos,pontos,miles,
attempts,people,homes,steps,marks,btc,eth,percent
"""

# Names of amounts, which their number follows.
AMOUNT: Final = """
up to,bis zu,jusqu à,fino a,
amount,amt,total,balance,bal,paid,price,fee,fare,premium,importe,saldo,monto,valor,montant,solde,betrag,
kontostand,guthaben,importo,totale,bedrag,belopp,beløp,beløb,summa,kwota,částka,suma,sumă,sold,iznos,
stanje,tutar*,bakiye,limit,balans,qoldiq,số tiền,so tien,sd,jumlah,nominal,baki,balanse,salio,сумма,баланс,
остаток,сума,залишок,наличност,износ,ποσό,υπόλοιπο,գումար,մնացորդ,ნაშთი,סכום,יתרה,בסך,مبلغ,بمبلغ,الرصيد,
رصيد*,مانده,بیلنس,शेष,राशि,ব্যালেন্স,পরিমাণ,இருப்பு,బ్యాలెన్స్,จำนวน,คงเหลือ,ยอดเงิน,金额,金額,余额,餘額,
残高,잔액,금액,үлдэгдэл
"""

# Durations and the words of time that follow a number.
TIME: Final = """
s,h,
min,mins,minute,minutes,minuts,minutos,minuti,minuten,minuter,minutter,minuutti*,minuuttia,minutit,minūtes,
minučių,minut*,minuty,minuta,perc,percig,percen,hour*,hr,hrs,sec,secs,second*,day,days,week*,month*,year*,
pm,am,hora,horas,día,días,dias,dia,heure*,jours,secondes,segundos,segundo,stunde*,tage,tagen,sekunden,ore,
giorni,secondi,uur,dagen,seconden,timer,timmar,dager,dage,dagar,sekunder,tunti*,tuntia,päivä*,pv,tundi,
päeva,stundas,dienas,val,dienų,godz*,godzin*,dni,sekund*,hodin*,óra,órán,nap,napig,zile,secunde,sati,dana,
ur,dakika*,saat,saniye,gün,dəqiqə*,daqiqa*,soat,soniya,phút,phut,giờ,gio,giây,ngày,menit,jam,hari,detik,
minit,minuto,oras,dakika,dakikada,dakikadır,дней,минут*,мин,час,часа,часов,сек,секунд*,день,дня,хвилин*,хв,
годин*,минути,минута,минот,минут,λεπτά,λεπτα,ώρες,ωρες,դրոպե,րոպե*,წუთ*,דקות,שעות,ימים,دقيقة,دقائق,دقیقه,
ساعة,ساعات,ساعت,ثانية,ثانیه,ایام,منٹ,मिनट*,घंटे,सेकंड,মিনিট*,ঘণ্টা,நிமிட*,నిమిష*,ನಿಮಿಷ*,മിനിറ്റ*,විනාඩි,
นาที,ชั่วโมง,วัน,ນາທີ,នាទី,မိနစ်,ደቂቃ,分钟,分鐘,分間,分,秒,小时,小時,時間,天内,天,日,月,年,時,点,분,초,시간,
일,월,년,시,번,회,名,次,人
"""

# A code is no longer valid, or a wrong one was entered.
INVALID: Final = """
couldn t match,could not match,can t match,did not match,no longer works,doesn t work,does not work,
timed out,revoked,replaced,void,canceled,was cancelled,ya no es,ya no sirve,no es válid*,no válid*,anulad*,
ha caducado,já não é,não é mais,cancelad*,plus valide,plus valable,n est plus,annulé,annulée,périmé,
nicht mehr,nicht gültig,storniert,non è più,annullat*,niet meer geldig,niet geldig,gått ut,inte längre,
ogiltig*,ugyldig*,ikke lenger,ikke længere,ei kelpaa,ei ole enää,virheellinen,ei kehti,enam ei kehti,
nebegalioja,negalioja,nederīg*,nav derīg*,vairs nav,nieważn*,stracił ważność,unieważn*,neplatn*,
již neplatí,érvénytelen,már nem,nu mai,anulat,invalid,nevažeć*,više ne,ne velja,neveljav*,nije valjan*,
nije ispravan,pa vlefshëm,artık geçerli değil,geçerli değil,iptal edil*,keçərsiz,etibarsız,yaroqsiz,
больше не,не действует,не действителен,аннулирован*,просрочен*,більше не,не діє,недійсн*,прострочен*,
скасован*,вече не,невалиден,невалидна,анулиран*,повеќе не,не важи,жарамсыз,хүчингүй,дууссан,δεν ισχύει,
άκυρ*,ակտիվ չէ,անվավեր,ვადაგასული,არ არის მოქმედი,לא תקף,אינו תקף,בוטל,انتهت صلاح*,انتهى صلاح*,لم يعد,ملغى,
ألغي,غير صالح*,باطل شد*,معتبر نیست,میعاد ختم,ختم ہو,समाप्त,एक्सपायर,রद्द,रद्द,মেয়াদ শেষ,বাতিল,காலாவதி*,
గడువు ముగిసిన*,ముగిసింది,ಅವಧಿ ಮುಗಿದ*,കാലഹരണ*,කල් ඉකුත්,ยกเลิกแล้ว,ใช้ไม่ได้,ໝົດອາຍຸ,ផុតកំណត់,သက်တမ်းကုန်,
không còn,khong con,hết hiệu lực,het hieu luc,sudah tidak berlaku,tidak berlaku,sudah tidak,luput,
tamat tempoh,hindi na valid,imeisha muda,已作废,作废,不匹配,期限が切れ,が切れて,使えません,一致しません,
만료된,유효하지 않,already used,been used,was used,not recognised,not recognized,rejected,unsuccessful,
does not match,didn t match,mismatch,ya fue utilizad*,ya utilizado,déjà utilisé,déjà été utilisé,
bereits verwendet,bereits benutzt,già utilizzato,já foi utilizado,já utilizado,al gebruikt,redan använt,
już wykorzyst*,již použit*,уже использован*,вже використан*,вече използван,zaten kullanıl*,已使用,已被使用,
使用済み,이미 사용,使用過,expired,has expired,wrong,incorrect,no longer,not valid,failed,attempts,attempt,
tries,blocked,locked,declined,cancelled,used already,incorrect*,caducado,caducada,ha expirado,expirado,
intentos,erróneo,errónea,incorret*,inválid*,expirou,expirada,tentativas,a expiré,expirée,erroné,essais,
tentatives,falsch*,ungültig*,abgelaufen,versuche,errato,errata,scaduto,scaduta,tentativi,onjuist*,verlopen,
pogingen,fel kod,felaktig*,försök,utgått,feil,forsøk,utløpt,forkert,udløbet,väärä,vanhentunut,yritystä,
vale,aegunud,nepareiz*,neteising*,błędn*,wygasł*,próby,chybn*,nesprávn*,vypršel*,pokusy,pokus,hibás,lejárt,
próbálkozás*,greșit*,gresit*,a expirat,încercări,pogrešan,pogrešna,istekao,istekla,netočan,napačn*,poteklo,
hatalı,yanlış,geçersiz,süresi doldu,süresi dolmuş,deneme hakkı*,yanlışdır,noto'g'ri,không đúng,khong dung,
đã hết hạn,da het han,không hợp lệ,salah,kedaluwarsa,percobaan,tidak valid,tidak sah,mali ang,si sahihi,
неверн*,неправильн*,истёк,истек,истекла,недействит*,попытк*,невірн*,закінчився,спроб*,грешен,грешна,
изтекъл,изтече,опита,погрешан,қате,буруу,λάθος,έληξε,λανθασμέν*,προσπάθει*,սխալ,არასწორ*,שגוי,שגויה,פג,
ניסיונות,غير صحيح*,خاطئ*,منتهي,محاولات,محاولتان,اشتباه,منقضی,نامعتبر,غلط,गलत,अमान्य,ভুল,মেয়াদোত্তীর্ণ,
தவறான*,తప్పు,ไม่ถูกต้อง,หมดอายุแล้ว,รหัสผิด,错误,有误,已失效,已过期,不正确,不正確,錯誤,已逾期,間違,無効,
期限切れ,失効,오류,틀렸,만료되었,일치하지
"""

# A former code or password.
OLD: Final = """
old,previous,former,earlier,anterior,antiguo,antigua,antigo,ancien,ancienne,précédent,alte,alter,altes,
bisherige*,vorherige*,precedente,vecchio,oude,vorige,gamla,gamle,tidligere,vanha,stary,stare,poprzedni*,
starý,předchozí,régi,korábbi,vechi,vechiul,stari,eski,önceki,cũ,lama,старый,старая,прежний,предыдущ*,
старий,попередн*,стар,παλιός,παλιο*,προηγούμεν*,הקודם,הישן,السابق,القديم,قبلی,قدیمی,पुराना,পুরানো,旧,舊,
原密码,以前の,이전,기존
"""

# Something has already happened. These words are only told apart from unknown ones.
DONE: Final = """
received,completed,processed,erhalten,recibido,reçu,ricevuto,recebido,получен*,отримано,
changed,updated,disabled,enabled,required,needed,ready,hidden,pending,confirmed,verified,
activated,authenticated,registered,registering,approved,authorised,authorized,verificado,verificada,
confirmado,confirmada,confirmé,confirmée,activé,activada,activado,registrado,registrada,bestätigt,
registriert,aktiviert,confermato,confermata,attivato,registrato,bevestigd,geactiveerd,bekräftad,bekräftat,
aktiverad,bekreftet,bekræftet,aktiveret,vahvistettu,kinnitatud,apstiprināts,patvirtinta,potwierdzona,
potwierdzony,potwierdzone,potvrzena,potvrzeno,potvrdená,potvrđena,megerősítve,confirmată,confirmata,
onaylandı,onaylanmıştır,təsdiqləndi,подтвержден,подтверждена,подтверждён,подтверждено,зарегистрирован,
підтверджено,зареєстровано,потвърдена,потвърден,επιβεβαιώθηκε,dikonfirmasi,terkonfirmasi,disahkan,
đã xác nhận,da xac nhan
"""

# How long a code is valid, which messages say of codes more often than of other numbers.
VALIDITY: Final = """
valid,expires,expire,expiring,validity,timeout,válido,válida,vigencia,vence,caduca,expira,validade,valable,
valide,valido,valida,scade,scadenza,gültig,gueltig,gültigkeit,läuft ab,geldig,verloopt,giltig,gäller,
gyldig,udløber,utløper,voimassa,vanhenee,kehtib,derīgs,galioja,ważny,ważne,wazny,wygasa,platný,platí,
platnost,platnosť,érvényes,lejár,valabil,expiră,vrijedi,važi,velja,veljavna,geçerli*,keçərli,amal qiladi,
hiệu lực,hieu luc,hết hạn,het han,berlaku,sah,действ*,действителен,истекает,дійсний,діє,валиден,валидна,
важи,ισχύ*,λήγει,жарамды,хүчинтэй,գործում,მოქმედებს,תקף,תקפה,בתוקף,صالح,صالحة,صلاحية,ينتهي,اعتبار,معتبر,
वैध,मान्य,মেয়াদ,বৈধ,செல்லுபடி*,చెల్లుబాటు*,หมดอายุ,ใช้ได้,ใช้ภายใน,有效,有効,有効期限,期限,유효,내에
"""

# People whom one tells a code, rather than typing it.
COURIER: Final = """
řidič,řidiče,řidiči,chauffeur,motorista,conductor,şoför*,sürücü*,водител*,водій,водію,司机,司機,ドライバー,
운전기사,kierowc*,conducente,autista,sopir,pengemudi,tài xế,السائق,للسائق,راننده,motoboy,rider,
the counter,at checkout desk,comptoir,en caisse,à la caisse,caissier,an der kasse,kasse,kassan,kassa,
alla cassa,in cassa,en caja,no caixa,na kasie,przy kasie,u pokladny,pénztár*,на кассе,на касі,на каса,
kasada,ταμείο,לקופה,בקופה,レジ,店頭,계산대,柜台,櫃台,แคชเชียร์,courier,courier's,driver,delivery agent,
delivery person,delivery partner,delivery executive,delivery boy,repartidor,mensajero,entregador,estafeta,
livreur,commerçant,fahrer,fahrerin,zusteller,corriere,bezorger,chaufför,kuljettaja,kurier*,kuriér*,kurýr*,
kuriera,futár*,curier*,курьер*,кур'єр,куриер*,dostavljač*,kurir*,kurye*,shipper,κουριερ,διανομέα*,שליח,
לשליח,المندوب,مندوب,للمندوب,پیک,एजेंट,ডেলিভারি ম্যান,骑手,快递员,店员,配達員,배달원,기사님,พนักงานส่ง
"""

# Negations, as in warnings not to pass a code on.
NEGATION: Final = """
알려주지,타인에게,공유하지,
never,don,dont,not,nobody,noone,anyone,beware,nunca,jamás,nadie,no,não,ninguém,jamais,ne,pas,personne,nie,
niemals,nicht,niemandem,mai,non,nessuno,nooit,niet,niemand,aldrig,inte,ikke,ingen,älä,koskaan,kellekään,
nigdy,nikomu,nikdy,soha,senkinek,nimănui,nu,niciodată,nikome,nikad,nikoli,asla,kimseyle,kimse,không,khong,
jangan,jangan sekali,kailanman,usimpe,никогда,никому,ніколи,нікому,никога,на никого,ποτέ,μην,δεν,երբեք,
არასოდეს,არავის,לעולם,אל,לא,أبدا,لا,هرگز,नहीं,किसी,कভى,কাউকে,யாரிட*,ఎవరి*,ห้าม,อย่า,ไม่มีนโยบาย,勿,切勿,
不要,請勿,请勿,谨防,教えない,しないで,마세요,절대,ешкімге,бусдад,heç kimlə
"""

# Forms of "is", which link a label with its value.
COPULA: Final = """
is the,est le,es el,è il,ist die,ist der,é o,is,are,es,é,e,est,ist,lautet,är,er,on,jest,to,je,este,është,
eshte,jesu,là,la,adalah,ialah,ay,ni,waa,yw,ass,dia,это,є,е,είναι,eino,է,არის,הוא,היא,הנו,هو,هي,است,ہے,है,
हो,হল,হচ্ছে,হলো,হৈছে,ਹੈ,છે,ஆகும்,คือ,แมน,ແມ່ນ,គឺ,は,为,為,是,是:,입니다,은,는,ита,dur,dir,iyi,via
"""

# Words such as "no.", which say that a number counts or names something.
NUMBER: Final = """
संख्या,क्रमांक,সংখ্যা,no,nr,nro,num,number,núm,numero,número,numéro,nummer,nº,č,čís,číslo,sz,szám,broj,št,
numara,no.lu,số,so,nomor,nombor,номер,№,αριθ,αρ,համար,ნომერი,מספר,מס,رقم,شماره,नंबर,নম্বর,எண்,号,號,番,번,
code de conduite,dated,dt,since,year,anno,año,ano,année,jahr
"""

# What numbers count or name. In a message that names no code, the number beside such a word is no code.
THING: Final = """
credit,crédito,kredyt,debit,débito,bezahlt,pagado,payé,pagato,оплачено,сплачено,betaald,betalt,betald,
maksettu,zapłacono,zaplaceno,zaplatené,fizetve,plătit,ödendi,gutschrift,reservierung,rif,配送,入金,支払,
결제,입금,已付,已支付,付款金额,účtu,účet,ใบสั่งซื้อ,inv,申请,申請,申込,신청,cuenta,счета,账号,帳號,
kilometer,kilometres,kilometers,kontonummer,receipt,available,cost,costs,prices,contract,salary,wage,wages,
lottery,draw,weight,height,speed,temperature,temp,distance,size,quantity,qty,stock,debt,passport,insurance,
level,floor,row,tram,coach,terminal,stand,booth,aisle,odometer,mileage,population,units,count,payout,income,
profit,value,rate,age,dob,permit,warranty,result,file,form,document,letter,ballot,employee,preis,kosten,
vertrag*,beleg,belegnr,quittung*,gehalt,lohn,miete,sitz*,reihe,flug*,gleis,linie,wartenummer,losnummer,
gewinn,gewicht,größe,menge,anzahl,schulden,stockwerk,etage,aktenzeichen,akte,versicherung*,ausweis*,
kennzeichen,postfach,filiale,prix,coût,contrat,quittance,salaire,loyer,siège,rangée,vol,quai,poids,taille,
quantité,dette,assurance,passeport,plaque,agence,billet,precio,costo,coste,contrato,recibo,salario,sueldo,
alquiler,asiento,fila,vuelo,andén,turno,lote,peso,tamaño,talla,cantidad,deuda,piso,planta,póliza,pasaporte,
matrícula,sucursal,disponible,boleto,billete,sorteo,premio,edad,prezzo,contratto,ricevuta,stipendio,affitto,
posto,volo,binario,coda,lotto,taglia,quantità,piano,polizza,passaporto,targa,disponibile,biglietto,preço,
custo,aluguel,assento,poltrona,voo,plataforma,tamanho,quantidade,dívida,andar,apólice,passaporte,placa,
agência,disponível,bilhete,passagem,sorteio,idade,prijs,bon,salaris,huur,stoel,rij,vlucht,spoor,wachtrij,
volgnummer,aantal,schuld,verdieping,polis*,paspoort,kenteken,filiaal,beschikbaar,kaartje,pris,kostnad,avtal,
avtale,aftale,kvitto,lön,lønn,hyra,husleje,plats,plass,plads,flyg,lott,vikt,vekt,vægt,antal,antall,våning,
etasje,försäkring,forsikring,regnr,biljett,billett,hinta,sopimus*,kuitti*,palkka,vuokra,paikka,lento*,raide,
jono*,vuoronumero,paino,määrä,kerros,vakuutus*,lippu*,cena,cenu,koszt,umow*,paragon*,pensja,czynsz,miejsce,
peron,kolejk*,waga,rozmiar,ilość,dług,piętro,paszport*,bilet*,nagroda,smlouv*,zmluv*,účtenk*,mzda,nájem*,
sedadlo,nástupišt*,fronta,váha,velikost,množství,dluh,patro,pojist*,poistk*,lístek,lístok,jízdenk*,
vstupenk*,výhra,összeg*,szerződés*,nyugta,blokk,bérlet,ülés,járat*,vágány,sorszám*,súly,méret,mennyiség,
tartozás,emelet,kötvény*,jegy*,nyeremény*,preț,chitanț*,salariu,chirie,zbor,coadă,greutate,cantitate,
datorie,etaj,poliț*,premiu,цен*,стоимост*,договор*,контракт*,чек*,зарплат*,аренд*,мест*,ряд*,рейс*,поезд*,
вагон*,платформ*,очеред*,лот*,вес,размер*,количеств*,долг*,этаж*,полис*,паспорт*,госномер*,билет*,выигрыш*,
приз*,возраст,страниц*,доступно,штраф*,тариф*,цін*,варт*,догов*,оренд*,місц*,потяг*,черг*,вага,розмір*,
кільк*,борг*,поверх*,поліс*,квит*,виграш*,полет*,място,опашка,cijena,ugovor*,ulaznica,sjedište,τιμή,κόστος,
συμβόλαιο,σύμβαση,απόδειξη,μισθός,ενοίκιο,θέση,πτήση,ουρά,βάρος,ποσότητα,χρέος,όροφος,εισιτήριο,fiyat*,
ücret*,sözleşme*,makbuz,fiş,maaş,kira,koltuk,uçuş,sefer,kuyruk,miktar,adet,borç,pasaport,plaka,ödül,السعر,
سعر,التكلفة,عقد,إيصال,الراتب,راتب,الإيجار,مقعد,رحلة,دور,الوزن,الكمية,الطابق,بوليصة,جواز,تذكرة,جائزة,מחיר,
עלות,חוזה,קבלה,משכורת,מושב,טיסה,משקל,כמות,קומה,פוליסה,דרכון,פרס,قیمت,هزینه,قرارداد,رسید,حقوق,اجاره,صندلی,
پرواز,صف,وزن,تعداد,بدهی,طبقه,بلیط,कीमत,मूल्य,अनुबंध,रसीद,वेतन,किराया,सीट,उड़ान,फ्लाइट,ट्रेन,टिकट,कतार,
मात्रा,पॉलिसी,इनाम,लॉटरी,ราคา,สัญญา,ใบเสร็จ,เงินเดือน,ค่าเช่า,ที่นั่ง,คิว,น้ำหนัก,กรมธรรม์,ตั๋ว,รางวัล,ยอด,
giá,chi phí,hợp đồng,biên lai,chuyến bay,số dư,số lượng,số ghế,số vé,mã vé,harga,biaya,kontrak,kuitansi,
gaji,sewa,kursi,penerbangan,antrian,antrean,giliran,berat,ukuran,lantai,paspor,tiket*,hadiah,undian,价格,
價格,费用,費用,合同,收据,收據,工资,工資,租金,座位,座位号,座號,排队号,排隊號,排号,体重,數量,数量,楼层,樓層,
保单,護照,护照,车牌,車牌,票号,票號,奖金,中奖,桌号,房号,房號,票价,积分,積分,班次,価格,料金,領収書,給料,家賃,
座席,便名,整理券,番号札,保険,パスポート,チケット,当選,部屋番号,가격,요금,비용,계약,영수증,급여,월세,좌석,
항공편,편명,대기번호,수량,보험,여권,차량번호,티켓,당첨,점수,fine,fines,chambre,habitación,stanza,quarto,
pokój,kamer,房间,房間,部屋,객실,номер комнат*,комнат*,кімнат*,версия,версии,versão,versione,sürüm,
バージョン,版本,버전,alert,alerta,ext,extension,survey,poll,vote,decode,encode,index,durchwahl,nebenstelle,
anexo,ramal,добавочн*,préstamo,kredit,darlehen,empréstimo,prestito,lening,pożyczk*,займ*,кредит*,kredi,
electricity usage,data usage,water usage,won,win,wins,winner,prize,jackpot,rent,consumption,verbrauch,
consumo,due,owed,owing,score,credited,debited,deposit,refund,reading,calories,zählerstand,punkte,puntaje,
pontuação,очк*,шаг*,步数,得分,歩数,スコア,job,task,issue,build,bug,commit,quote,offer,bid,estimate,cash,
interest,charge,withdrawal,payment,payments,spent,spend,views,likes,followers,members,votes,users,visitors,
downloads,subscribers,warehouse,store,shop,suite,exit,course,status,department,unit,block,tower,pier,dock,
court,lane,bed,ward,verse,episode,season,channel,frequency,node,server,event,pallet,container,truck,vehicle,
load,pump,tank,fuel,gas,water,sensor,machine,asset,part,sku,ean,isbn,imei,iccid,vin,ssn,mrn,dose,pulse,bpm,
time,birthday,anniversary,attendance,capacity,seats,guests,pax,words,rows,records,bay,house,sector,width,
length,depth,altitude,bought,shares,loss,turnover,budget,calls,messages,emails,photos,files,address,
district,boat,ferry,car,cars,bike,plot,acre,round,match,goals,rating,grade,angebot,los,mitglied,mitglieder,
kassenbon,zahlung,gebühr,zinsen,ausgaben,einnahmen,lager,laden,geschäft,ausgang,kurs,abteilung,einheit,turm,
bett,folge,kanal,datum,uhrzeit,besucher,nutzer,wörter,haus,bereich,breite,länge,höhe,tiefe,adresse,auftrag,
aufgabe,ticket,hausnummer,offre,devis,espèces,intérêts,frais,dépenses,revenus,entrepôt,magasin,sortie,cours,
statut,bâtiment,lit,chaîne,heure,visiteurs,membres,largeur,longueur,hauteur,tâche,métro,maison,oferta,
efectivo,interés,cargo,gasto,gastos,ingresos,pago,almacén,tienda,salida,curso,estado,departamento,unidad,
bloque,torre,cama,episodio,canal,fecha,visitantes,miembros,ancho,altura,dirección,tarea,autobús,tren,coche,
casa,offerta,preventivo,contanti,interessi,spesa,spese,pagamento,magazzino,negozio,uscita,corso,stato,unità,
blocco,letto,canale,data,visitatori,membri,larghezza,altezza,indirizzo,compito,treno,dinheiro,juros,taxa,
despesas,receita,armazém,loja,saída,unidade,bloco,membros,largura,endereço,tarefa,ônibus,autocarro,trem,
comboio,carro,aanbieding,offerte,contant,rente,uitgaven,betaling,magazijn,winkel,uitgang,cursus,afdeling,
gebouw,aflevering,kanaal,leden,breedte,hoogte,adres,taak,trein,huis,erbjudande,ränta,avgift,utgifter,
betalning,butik,utgång,avdelning,medlemmar,bredd,höjd,adress,uppgift,tåg,bil,hus,tilbud,gebyr,butikk,
avdeling,dato,medlem,medlemmer,tog,tarjous,korko,maksu,myymälä,kauppa,uloskäynti,osasto,päivämäärä,jäsen*,
osoite,tehtävä,juna,talo,bussi,gotówka,odsetki,opłata,wydatki,płatność,magazyn,sklep,wyjście,oddział,
budynek,łóżko,odcinek,członk*,szerokość,wysokość,zadanie,pociąg,samochód,nabídka,hotovost,úrok,poplatek,
výdaje,platba,sklad,obchod,východ,oddělení,budova,díl,člen,členové,šířka,výška,adresa,úkol,vlak,dům,ajánlat,
készpénz,kamat,díj,kiadás,fizetés,raktár,kijárat,osztály,épület,csatorna,szélesség,magasság,cím,feladat,
vonat,busz,autó,ház,numerar,dobândă,cheltuieli,plată,depozit,magazin,ieșire,secție,clădire,episod,lățime,
înălțime,sarcină,autobuz,mașină,предложени*,наличн*,процент*,комисси*,расход*,доход*,платеж*,склад*,
магазин*,выход*,курс*,статус*,отдел*,корпус*,кровать,серия,канал*,дата,посетител*,участник*,подписчик*,
просмотр*,лайк*,ширина,высота,длина,адрес*,задач*,задани*,автобус*,машин*,дом,табельный,товар,пропозиц*,
готівк*,відсот*,комісі*,витрат*,платіж*,склад,вихід,відділ*,учасник*,перегляд*,завдан*,будинок,προσφορά,
μετρητά,τόκος,χρέωση,έξοδα,πληρωμή,αποθήκη,κατάστημα,έξοδος,τμήμα,κτίριο,κανάλι,ημερομηνία,μέλη,διεύθυνση,
τρένο,λεωφορείο,teklif*,nakit,faiz,ödeme*,gider,gelir,depo,mağaza,çıkış,bölüm,bina,tarih,üye,üyeler,takipçi,
görev,otobüs,araba,عرض,نقدا,فائدة,رسوم,مصاريف,دفعة,مستودع,متجر,مخرج,قسم,مبنى,قناة,تاريخ,أعضاء,عنوان,مهمة,
قطار,حافلة,سيارة,הצעה,מזומן,ריבית,עמלה,הוצאות,תשלום,מחסן,חנות,יציאה,מחלקה,ערוץ,תאריך,חברים,כתובת,משימה,רכבת,
אוטובוס,רכב,पता,दुकान,भुगतान,ब्याज,शुल्क,बस,तारीख,सदस्य,ร้าน,สาขา,ที่อยู่,วันที่,รถ,บ้านเลขที่,ค่าธรรมเนียม,
ดอกเบี้ย,cửa hàng,địa chỉ,chi nhánh,lãi suất,toà nhà,số nhà,toko,cabang,alamat,gedung,bunga,pembayaran,
tanggal,anggota,kereta,mobil,rumah,报价,現金,现金,利息,手续费,支出,收入,仓库,店铺,门店,出口,课程,状态,部门,
楼栋,床位,频道,日期,会员数,粉丝,点赞,播放量,地址,任务,公交,火车,门牌号,工单,工号,見積,手数料,倉庫,店舗,状態,
部署,建物,チャンネル,日付,会員数,フォロワー,再生回数,住所,課題,電車,番地,견적,현금,이자,수수료,지출,창고,
매장,출구,상태,부서,건물,채널,날짜,팔로워,조회수,주소,과제,버스,기차,송장번호
"""
